"""The whole report."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from chamaleonet.analysis import report
from chamaleonet.analysis.findings import RULES
from chamaleonet.analysis.page.figures.figure import Figure
from chamaleonet.analysis.parts import lists, numbers
from chamaleonet.analysis.report import Outputs, build, run
from chamaleonet.analysis.schema import json_schema
from chamaleonet.analysis.table import Options
from chamaleonet.analysis.tables import TABLES
from chamaleonet.errors import UserError
from tests.analysis.busy import busy
from tests.analysis.synthetic import DAY, Logs, background, scan, stale_server

jsonschema = pytest.importorskip("jsonschema")
VALIDATOR = jsonschema.Draft202012Validator(json_schema())


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return busy().write(tmp_path_factory.mktemp("busy"))


@pytest.fixture(scope="module")
def document(path) -> dict[str, Any]:
    return run(path, Outputs(), Options())


def test_the_keys_that_programs_rely_on(document):
    assert list(document["tables"]) == [
        "verdicts", "health", "host_pairs", "skew", "stability", "retries", "scanners", "timeouts",
        "artefacts", "simultaneous", "leaks", "network_change", "applications", "radiation",
    ]  # fmt: skip
    assert document["findings"]
    for finding in document["findings"]:
        assert set(finding) == {
            "kind", "confidence", "flows", "share", "hosts", "evidence", "cause", "fix",
        }  # fmt: skip


def test_the_schema_describes_it(document):
    jsonschema.Draft202012Validator.check_schema(json_schema())
    assert [error.message for error in VALIDATOR.iter_errors(document)] == []


def test_the_schema_tells_what_is_wrong(document):
    more = document | {"more": 1}
    less = document | {"tables": document["tables"] | {"verdicts": [{"flows": -1}]}}
    assert not VALIDATOR.is_valid(more)
    assert not VALIDATOR.is_valid(less)


@pytest.mark.parametrize("has_counters", [True, False])
def test_logs_with_nothing_in_them(opened, has_counters):
    logs = Logs()
    if has_counters:
        logs.healthy(0, "10.1.0.1", verdict="pending", delay=None)
    else:
        logs.flow(0, "10.1.0.1", "192.0.2.1", verdict="answered")
        logs.flows[0]["verdict"] = "midstream"
    document = build(opened(logs), Options())
    assert [error.message for error in VALIDATOR.iter_errors(document)] == []
    assert document["findings"] == []
    assert document["explained"] is None


def test_a_flow_log_without_counters_has_no_shares_of_all(tmp_path):
    document = run(busy().write_file(tmp_path / "flows.parquet"), Outputs(), Options())
    assert [error.message for error in VALIDATOR.iter_errors(document)] == []
    assert document["about"]["flows"] is None
    assert document["tables"]["health"]["all"]["health"] is None
    assert {row["share"] for row in document["tables"]["verdicts"]} == {None}


def test_nothing_is_found_in_a_healthy_log(opened):
    logs = Logs()
    background(logs, hours=48)
    document = build(opened(logs), Options())
    assert document["findings"] == []
    assert document["machines"] == []
    assert document["about"]["erroneous"] == len(logs.flows)


def test_every_column_has_a_label(document):
    for name, value in document["tables"].items():
        columns = document["about"]["tables"][name]["columns"]
        for _, rows in lists(value):
            assert set(rows[0] if rows else ()) <= set(columns), name
        assert {path[-1] for path, _ in numbers(value)} <= set(columns), name


def test_what_it_says_of_itself(path, document):
    about = document["about"]
    assert about["source"] == str(path)
    assert about["engine"] == "duckdb"
    assert about["logged"] == len(busy().flows)
    assert (about["since"], about["until"]) == (None, None)
    assert about["begin"] == "2026-11-23T00:00:00Z"
    all_flows = next(
        row["flows"]
        for row in document["tables"]["verdicts"]
        if (row["direction"], row["protocol"], row["verdict"]) == ("all", "all", "all")
    )
    assert about["flows"] == all_flows


def test_a_part_of_the_time(path):
    zone = timezone(timedelta(hours=2))
    document = run(
        path, Outputs(), Options(),
        since=datetime(2026, 11, 24, tzinfo=UTC), until=datetime(2026, 11, 25, 2, tzinfo=zone),
    )  # fmt: skip
    about = document["about"]
    assert (about["since"], about["until"]) == ("2026-11-24T00:00:00Z", "2026-11-25T00:00:00Z")
    assert "2026-11-24T00:00:00Z" <= about["begin"] < about["end"] < "2026-11-25T00:00:00Z"


def test_it_is_the_same_each_time(path, document):
    again = run(path, Outputs(), Options())
    assert again | {"about": 0} == document | {"about": 0}


def test_numbers_have_the_digits_that_engines_agree_on(document):
    def floats(value: Any) -> list[float]:
        if isinstance(value, dict):
            value = list(value.values())
        if isinstance(value, list):
            return [number for each in value for number in floats(each)]
        return [value] if isinstance(value, float) else []

    found = floats(document)
    assert found
    assert all(number == float(f"{number:.9g}") for number in found)


def test_progress_names_every_stage(opened):
    logs, told = Logs(), []
    logs.flow(0, "10.1.0.1", "192.0.2.1")
    build(opened(logs), Options(), lambda *stage: told.append(stage))
    total = len(TABLES) + len(RULES)
    assert [stage for stage, _, _ in told] == [*TABLES, *(rule.kind for rule in RULES), ""]
    assert [(done, of) for _, done, of in told] == [(n, total) for n in range(total + 1)]


def test_without_scanners(opened):
    logs = Logs()
    background(logs)
    scan(logs, begin=DAY / 2)
    opened_logs = opened(logs)
    with_them, without = (
        build(opened_logs, Options(without_scanners=left_out)) for left_out in (False, True)
    )
    assert with_them["tables"]["scanners"] == without["tables"]["scanners"]
    assert with_them["tables"]["scanners"]["scanners"] == 1
    assert [row["flows"] for row in with_them["tables"]["radiation"]["campaigns"]] == [200]
    assert without["tables"]["radiation"]["campaigns"] == []


def test_suppressed_findings_are_kept_apart(opened, tmp_path):
    from chamaleonet.analysis.suppressions import load

    file = tmp_path / "suppress.yaml"
    file.write_text(
        "suppressions:\n"
        "  - {kind: stale_server, server: 10.9.0.1, until: 9999-12-31, reason: it moves}\n"
        "  - {host: 10.1.0.77, until: 2001-01-01, reason: long over}\n"
    )
    logs = Logs()
    background(logs)
    stale_server(logs, times=500)
    document = build(opened(logs), Options(suppressions=load(file)))
    assert [error.message for error in VALIDATOR.iter_errors(document)] == []
    (suppressed,) = document["suppressed"]["findings"]
    assert suppressed["suppression"]["reason"] == "it moves"
    assert suppressed["kind"] == "stale_server"
    assert document["suppressed"]["share"] > 0.5
    assert [each["reason"] for each in document["suppressed"]["expired"]] == ["long over"]
    assert "stale_server" not in [finding["kind"] for finding in document["findings"]]


def test_outputs(path, document, tmp_path, capsys):
    outputs = Outputs(tmp_path / "r.html", tmp_path / "r.json", tmp_path / "csv")
    report.write(document, outputs)
    assert json.loads((tmp_path / "r.json").read_text()) == document
    assert (tmp_path / "r.html").read_text().lstrip().startswith("<!DOCTYPE html>")
    assert (tmp_path / "csv/verdicts.csv").exists()
    report.write(document, Outputs(json=report.STANDARD_OUTPUT))
    assert json.loads(capsys.readouterr().out) == document


@pytest.mark.parametrize("name", ["page", "json", "csv"])
def test_an_output_that_cannot_be_written(document, tmp_path, name):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="file"):
        report.write(document, Outputs(**{name: tmp_path / "file" / "r"}))


def test_no_log(tmp_path):
    with pytest.raises(UserError, match="no such file"):
        run(tmp_path / "missing", Outputs(), Options())


def test_each_stage_has_its_charts(document):
    """The busy log is made so that no chart lacks something to show."""
    from chamaleonet.analysis.page import figures

    drawn = {name: figures.of(name, value) for name, value in document["tables"].items()}
    assert all(isinstance(each, Figure) for shown in drawn.values() for each in shown)
    assert [name for name, shown in drawn.items() if not shown] == ["artefacts"]
