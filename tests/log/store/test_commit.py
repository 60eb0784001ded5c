import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chamaleonet.log.store.commit import Commit, read_commit
from chamaleonet.log.stream.position import Position

_uint64 = st.integers(0, 2**64 - 1)


@given(
    position=st.none() | st.builds(Position, _uint64, _uint64),
    files=st.dictionaries(st.text(st.characters(codec="utf-8")), st.integers(0, 2**62)),
)
def test_what_is_written_is_read_back(position, files, tmp_path_factory):
    commit = Commit(position=position, files=files)
    commit.write(tmp_path_factory.getbasetemp())
    read = read_commit(tmp_path_factory.getbasetemp())
    assert read == commit
    assert position is None or isinstance(read.position, Position)


def test_the_file_is_plain_json(tmp_path):
    Commit(position=Position(7, 9), files={"a": 1}, note="07ff").write(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["commit.json"]
    assert json.loads((tmp_path / "commit.json").read_text()) == {
        "version": 1,
        "position": [7, 9],
        "files": {"a": 1},
        "note": "07ff",
    }


def test_what_cannot_be_written_leaves_the_old_one(tmp_path):
    Commit(position=Position(1, 1)).write(tmp_path)
    (tmp_path / "commit.json.new").mkdir()
    with pytest.raises(IsADirectoryError):
        Commit(position=Position(1, 2)).write(tmp_path)
    (tmp_path / "commit.json.new").rmdir()
    assert read_commit(tmp_path).position == Position(1, 1)


@given(st.binary(max_size=60) | st.from_regex(r'\{"version":1(,"[a-z]*":[0-9\[\]{}",a]*)*\}'))
def test_damage_is_never_fatal(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "commit.json"
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    commit = read_commit(path.parent)
    assert commit is None or commit.version == 1
