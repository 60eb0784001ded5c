"""The whole report."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import jsonschema
import pytest

from chamaleonet.analysis import report
from chamaleonet.analysis.findings import RULES
from chamaleonet.analysis.page.figures.figure import Figure
from chamaleonet.analysis.parts import lists, numbers
from chamaleonet.analysis.report import Outputs, build, run
from chamaleonet.analysis.schema import json_schema
from chamaleonet.analysis.suppressions import load
from chamaleonet.analysis.table import Options
from chamaleonet.analysis.tables import TABLES
from chamaleonet.errors import UserError
from tests.analysis.busy import busy
from tests.analysis.synthetic import Logs, background, stale_server

VALIDATOR = jsonschema.Draft202012Validator(json_schema())


def test_the_keys_that_programs_rely_on(busy_report):
    assert list(busy_report["tables"]) == [
        "verdicts", "health", "host_pairs", "skew", "stability", "retries", "scanners", "timeouts",
        "artefacts", "simultaneous", "leaks", "network_change", "applications", "radiation",
    ]  # fmt: skip
    assert busy_report["findings"]
    for finding in busy_report["findings"]:
        assert set(finding) == {
            "kind", "confidence", "flows", "share", "hosts", "evidence", "cause", "fix",
        }  # fmt: skip


def test_the_schema_describes_it(busy_report):
    jsonschema.Draft202012Validator.check_schema(json_schema())
    assert [error.message for error in VALIDATOR.iter_errors(busy_report)] == []


def test_the_schema_tells_what_is_wrong(busy_report):
    more = busy_report | {"more": 1}
    less = busy_report | {"tables": busy_report["tables"] | {"verdicts": [{"flows": -1}]}}
    assert not VALIDATOR.is_valid(more)
    assert not VALIDATOR.is_valid(less)


def test_a_log_with_nothing_in_it(empty_report):
    assert [error.message for error in VALIDATOR.iter_errors(empty_report)] == []
    assert empty_report["findings"] == []
    assert empty_report["explained"] is None


def test_flows_that_never_came_to_a_verdict(opened):
    logs = Logs()
    logs.healthy(0, "10.1.0.1", verdict="pending")
    logs.flow(0, "10.1.0.1", "192.0.2.1", verdict="midstream")
    document = build(opened(logs), Options())
    assert [error.message for error in VALIDATOR.iter_errors(document)] == []
    assert (document["findings"], document["about"]["flows"]) == ([], 2)


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


def test_a_suspect_verdict_accuses_nobody(opened):
    def made(**columns):
        logs = Logs()
        background(logs, hours=4)
        stale_server(logs, **columns)
        return build(opened(logs), Options())

    sound, suspect = made(), made(quality="suspect")
    assert [finding["kind"] for finding in sound["findings"]] == ["stale_server"]
    assert (suspect["findings"], suspect["machines"]) == ([], [])
    assert (sound["about"]["suspect"], suspect["about"]["suspect"]) == (0, 200)
    assert suspect["about"]["erroneous"] == sound["about"]["erroneous"] - 200
    assert [error.message for error in VALIDATOR.iter_errors(suspect)] == []


def test_every_column_has_a_label(busy_report):
    for name, value in busy_report["tables"].items():
        columns = busy_report["about"]["tables"][name]["columns"]
        for _, rows in lists(value):
            assert set(rows[0] if rows else ()) <= set(columns), name
        assert {path[-1] for path, _ in numbers(value)} <= set(columns), name


def test_what_it_says_of_itself(busy_log, busy_report):
    about = busy_report["about"]
    assert about["source"] == str(busy_log)
    assert about["engine"] == "duckdb"
    assert about["logged"] == len(busy().flows)
    assert (about["since"], about["until"]) == (None, None)
    assert about["begin"] == "2026-11-23T00:00:00Z"
    assert about["flows"] == sum(row["flows"] for row in busy_report["tables"]["verdicts"])


def test_a_part_of_the_time(busy_log):
    zone = timezone(timedelta(hours=2))
    document = run(
        busy_log, Outputs(), Options(),
        since=datetime(2026, 11, 24, tzinfo=UTC), until=datetime(2026, 11, 25, 2, tzinfo=zone),
    )  # fmt: skip
    about = document["about"]
    assert (about["since"], about["until"]) == ("2026-11-24T00:00:00Z", "2026-11-25T00:00:00Z")
    assert "2026-11-24T00:00:00Z" <= about["begin"] < about["end"] < "2026-11-25T00:00:00Z"


def test_it_is_the_same_each_time_and_tells_how_far_it_is(busy_log, busy_report):
    told: list[tuple[str, int, int]] = []
    again = run(busy_log, Outputs(), Options(), progress=lambda *stage: told.append(stage))
    assert again | {"about": 0} == busy_report | {"about": 0}
    total = len(TABLES) + len(RULES)
    assert [stage for stage, _, _ in told] == [*TABLES, *(rule.kind for rule in RULES), ""]
    assert [(done, of) for _, done, of in told] == [(n, total) for n in range(total + 1)]


def test_numbers_have_the_digits_that_engines_agree_on(busy_report):
    def floats(value: Any) -> list[float]:
        if isinstance(value, dict):
            value = list(value.values())
        if isinstance(value, list):
            return [number for each in value for number in floats(each)]
        return [value] if isinstance(value, float) else []

    found = floats(busy_report)
    assert found
    assert all(number == float(f"{number:.9g}") for number in found)


def test_without_scanners(busy_log, busy_report):
    without = run(busy_log, Outputs(), Options(without_scanners=True))
    assert without["tables"]["scanners"] == busy_report["tables"]["scanners"]
    assert without["about"]["without_scanners"]
    (before, after) = (
        [row["source"] for row in each["tables"]["radiation"]["sources"]]
        for each in (busy_report, without)
    )
    assert "203.0.113.9" in before
    assert "203.0.113.9" not in after


def test_suppressed_findings_are_kept_apart(busy_log, busy_report, tmp_path):
    file = tmp_path / "suppress.yaml"
    file.write_text(
        "suppressions:\n"
        "  - {kind: stale_server, server: 10.9.0.1, until: 9999-12-31, reason: it moves}\n"
        "  - {host: 10.1.0.77, until: 2001-01-01, reason: long over}\n"
    )
    document = run(busy_log, Outputs(), Options(suppressions=load(file)))
    assert [error.message for error in VALIDATOR.iter_errors(document)] == []
    (suppressed,) = document["suppressed"]["findings"]
    assert suppressed["suppression"]["reason"] == "it moves"
    assert suppressed["kind"] == "stale_server"
    assert document["suppressed"]["share"] > 0.1
    assert [each["reason"] for each in document["suppressed"]["expired"]] == ["long over"]
    assert len(document["findings"]) == len(busy_report["findings"]) - 1


def test_outputs(busy_report, tmp_path, capsys):
    outputs = Outputs(tmp_path / "r.html", tmp_path / "r.json", tmp_path / "csv")
    report.write(busy_report, outputs)
    assert json.loads((tmp_path / "r.json").read_text()) == busy_report
    assert (tmp_path / "r.html").read_text().lstrip().startswith("<!DOCTYPE html>")
    assert (tmp_path / "csv/verdicts.csv").exists()
    report.write(busy_report, Outputs(json=report.STANDARD_OUTPUT))
    assert json.loads(capsys.readouterr().out) == busy_report


@pytest.mark.parametrize("name", ["page", "json", "csv"])
def test_an_output_that_cannot_be_written(busy_report, tmp_path, name):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="file"):
        report.write(busy_report, Outputs(**{name: tmp_path / "file" / "r"}))


def test_no_log(tmp_path):
    with pytest.raises(UserError, match="no such file"):
        run(tmp_path / "missing", Outputs(), Options())


def test_each_stage_has_its_charts(busy_report):
    """The busy log is made so that no chart lacks something to show."""
    from chamaleonet.analysis.page import figures

    drawn = {name: figures.of(name, value) for name, value in busy_report["tables"].items()}
    assert all(isinstance(each, Figure) for shown in drawn.values() for each in shown)
    assert [name for name, shown in drawn.items() if not shown] == ["artefacts"]
