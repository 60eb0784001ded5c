"""`result.json`, its schema, and what people see."""

from __future__ import annotations

import io
import json

import jsonschema
import pytest
from rich.console import Console

from chamaleonet.errors import UserError
from chamaleonet.lab import result
from tests.lab.recorded import PLANT, Run


@pytest.fixture
def run():
    run = Run()
    run.healthy(1)
    run.unanswered(2)
    return run


def shown(found):
    out = io.StringIO()
    result.show(found, Console(file=out, width=200))
    return out.getvalue()


def test_the_file_is_as_its_schema_says(run, tmp_path):
    found = run.judged(tmp_path, PLANT | {"least": 1})
    result.write(found, tmp_path / "result.json")
    document = json.loads((tmp_path / "result.json").read_text())
    jsonschema.validate(document, result.json_schema())
    assert document["ok"] is True
    [plant] = document["plants"]
    names = ("expected_flows", "judged_right", "captured", "false_captures", "finding_named")
    assert {name: plant[name] for name in names} == {
        "expected_flows": 1, "judged_right": 1, "captured": 2, "false_captures": 0,
        "finding_named": True,
    }  # fmt: skip


def test_people_see_what_was_found(run, tmp_path):
    text = shown(run.judged(tmp_path, PLANT | {"least": 1}))
    assert "gone" in text
    assert "stale_server" in text
    assert "4 ms" in text
    assert text.endswith("as it must be\n")
    assert "not as it must be" not in text


def test_people_see_what_is_wrong(run, tmp_path):
    run.change_flows = lambda flows: flows[:0]
    text = shown(run.judged(tmp_path, PLANT | {"least": 2}))
    assert "gone: 1 of 1 flows were not judged right" in text
    assert "gone: 1 flows failed, not 2: it did not happen" in text
    assert "1 flows were judged otherwise than offline" in text
    assert text.endswith("not as it must be\n")


def test_a_file_that_cannot_be_written(run, tmp_path):
    found = run.judged(tmp_path, PLANT | {"least": 1})
    with pytest.raises(UserError, match="nowhere"):
        result.write(found, tmp_path / "nowhere" / "result.json")
