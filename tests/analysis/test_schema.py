from __future__ import annotations

import jsonschema
import pytest

from chamaleonet.analysis import schema
from chamaleonet.analysis.findings import RULES
from chamaleonet.analysis.findings.finding import EVIDENCE_COLUMNS, Finding
from chamaleonet.analysis.tables import TABLES


def test_it_is_a_schema():
    jsonschema.Draft202012Validator.check_schema(schema.json_schema())


def test_it_has_every_table_finding_and_column():
    assert tuple(schema.TABLES) == TABLES
    assert list(schema.EVIDENCE) == list(EVIDENCE_COLUMNS)
    finding = Finding("outage", 0.5, 1, 1, None, [], [], "c", "f")
    assert list(schema.FINDING) == list(finding.as_dict())
    assert set(schema.FINDING["kind"]["enum"]) == {rule.kind for rule in RULES}


def test_objects_allow_no_other_keys():
    def objects(part: object) -> list[dict]:
        if isinstance(part, list):
            return [each for item in part for each in objects(item)]
        if not isinstance(part, dict):
            return []
        inner = [each for item in part.values() for each in objects(item)]
        return [part, *inner] if part.get("type") == "object" else inner

    found = objects(schema.json_schema())
    assert len(found) > 50
    assert all("additionalProperties" in each for each in found)


@pytest.mark.parametrize(
    ("path", "unit"),
    [
        (("health", "all", "health"), "share"),
        (("health", "all", "flows"), ""),
        (("timeouts", "recommended", "timeout"), "seconds"),
    ],
)
def test_how_a_value_is_read(path, unit):
    assert schema.unit(schema.at(path)) == unit


def test_columns_of_a_list():
    assert list(schema.columns(("stability", "clients", "autocorrelation"))) == ["lag", "value"]
    assert list(schema.columns(("verdicts",)))[:3] == ["direction", "protocol", "verdict"]
