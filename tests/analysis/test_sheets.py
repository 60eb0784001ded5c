from __future__ import annotations

import csv
from typing import Any

import pytest

from chamaleonet.analysis import schema
from chamaleonet.analysis.parts import lists, numbers
from chamaleonet.analysis.report import Outputs, run
from chamaleonet.analysis.sheets import write_csv
from chamaleonet.analysis.table import Options
from tests.analysis.synthetic import Logs, background, stale_server


@pytest.fixture(scope="module")
def report(tmp_path_factory) -> dict[str, Any]:
    logs = Logs()
    background(logs)
    stale_server(logs, times=500)
    return run(logs.write(tmp_path_factory.mktemp("log")), Outputs(), Options())


def _read(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_every_row_and_number_of_the_report(report, tmp_path):
    written = {path.stem: _read(path) for path in write_csv(report, tmp_path / "new" / "csv")}
    for name, value in report["tables"].items():
        for path, rows in lists(value):
            assert len(written["_".join((name, *path))]) == len(rows)
        single = {".".join(path): given for path, given in numbers(value)}
        if single:
            assert [row["name"] for row in written[name]] == list(single)
    first = report["tables"]["verdicts"][0]
    assert written["verdicts"][0] == {name: str(given) for name, given in first.items()}


def test_findings_and_their_evidence(report, tmp_path):
    write_csv(report, tmp_path)
    (finding,) = report["findings"]
    (row,) = _read(tmp_path / "findings.csv")
    assert (row["finding"], row["kind"], row["hosts"]) == ("1", "stale_server", "10.1.0.3")
    assert row["fix"] == finding["fix"]
    assert {row["finding"] for row in _read(tmp_path / "evidence.csv")} == {"1"}
    assert [row["kinds"] for row in _read(tmp_path / "machines.csv")] == ["stale_server"]


def test_an_empty_list_has_its_columns(report, tmp_path):
    write_csv(report | {"tables": report["tables"] | {"simultaneous": []}}, tmp_path)
    header = (tmp_path / "simultaneous.csv").read_text().strip()
    assert header == ",".join(schema.columns(("simultaneous",)))


@pytest.mark.parametrize("text", ["=1+1", "@A1", "+1", "-1", "\t=1"])
def test_text_is_no_formula(report, tmp_path, text):
    row = report["findings"][0]["evidence"][0] | {"detail": text, "period": -1.5}
    finding = report["findings"][0] | {"evidence": [row]}
    write_csv(report | {"findings": [finding]}, tmp_path)
    (written,) = _read(tmp_path / "evidence.csv")
    assert (written["detail"], written["period"]) == (f"'{text}", "-1.5")
