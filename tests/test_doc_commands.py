"""The documentation's commands work, and none is left out."""

import pytest

from tests import doc_commands
from tests.doc_commands import HERE, HOW, ROOT, SWITCH, Elsewhere, Shell, checkout

BLOCKS = doc_commands.blocks()


def test_every_block_is_tried_somewhere():
    names = [block.name for block in BLOCKS]
    unknown, gone = set(names) - HOW.keys(), HOW.keys() - set(names)
    assert not unknown, "tell tests/doc_commands.py how these are tried"
    assert not gone
    assert len(set(names)) == len(names)


def test_every_block_holds_whole_commands():
    for block in BLOCKS:
        assert block.commands
        assert not any(command.endswith("\\") for command in block.commands)


@pytest.mark.parametrize(
    "way", [way for way in HOW.values() if isinstance(way, Elsewhere)], ids=lambda way: way.file
)
def test_what_is_tried_elsewhere_is_there(way):
    text = (ROOT / way.file).read_text()
    assert [word for word in way.words if word not in text] == []


def test_the_places_where_blocks_are_tried_are_there():
    assert {way for way in HOW.values() if isinstance(way, str)} == {HERE, SWITCH}
    for file in (HERE, SWITCH):
        assert "def test_a_block_works" in (ROOT / file).read_text()


@pytest.mark.parametrize(
    "block",
    [block for block in BLOCKS if HOW.get(block.name) == HERE],
    ids=lambda block: block.name,
)
def test_a_block_works(block, tmp_path):
    checkout(tmp_path)
    with Shell(tmp_path) as shell:
        shell.run(*block.commands)


def test_a_command_that_fails_would_be_found(tmp_path):
    with Shell(tmp_path) as shell, pytest.raises(AssertionError, match="no/such"):
        shell.run("ls /no/such")
