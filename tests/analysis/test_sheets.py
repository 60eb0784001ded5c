from __future__ import annotations

import csv

import pytest

from chamaleonet.analysis import schema
from chamaleonet.analysis.parts import lists, numbers
from chamaleonet.analysis.sheets import write_csv


def _read(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_every_row_and_number_of_the_report(busy_report, tmp_path):
    written = {path.stem: _read(path) for path in write_csv(busy_report, tmp_path / "new" / "csv")}
    for name, value in busy_report["tables"].items():
        for path, rows in lists(value):
            assert len(written["_".join((name, *path))]) == len(rows)
        single = {".".join(path): given for path, given in numbers(value)}
        if single:
            assert [row["name"] for row in written[name]] == list(single)
    first = busy_report["tables"]["verdicts"][0]
    assert written["verdicts"][0] == {name: str(given) for name, given in first.items()}


def test_findings_and_their_evidence(busy_report, tmp_path):
    write_csv(busy_report, tmp_path)
    findings = busy_report["findings"]
    written = _read(tmp_path / "findings.csv")
    assert [row["finding"] for row in written] == [str(n + 1) for n in range(len(findings))]
    assert [row["hosts"].split() for row in written] == [each["hosts"] for each in findings]
    assert [row["fix"] for row in written] == [each["fix"] for each in findings]
    evidence = [row["finding"] for row in _read(tmp_path / "evidence.csv")]
    for number, finding in enumerate(findings, 1):
        assert evidence.count(str(number)) == len(finding["evidence"])
    machines = _read(tmp_path / "machines.csv")
    assert [row["host"] for row in machines] == [each["host"] for each in busy_report["machines"]]


def test_an_empty_list_has_its_columns(busy_report, tmp_path):
    write_csv(busy_report | {"tables": busy_report["tables"] | {"simultaneous": []}}, tmp_path)
    header = (tmp_path / "simultaneous.csv").read_text().strip()
    assert header == ",".join(schema.columns(("simultaneous",)))


@pytest.mark.parametrize("text", ["=1+1", "@A1", "+1", "-1", "\t=1"])
def test_text_is_no_formula(busy_report, tmp_path, text):
    row = busy_report["findings"][0]["evidence"][0] | {"detail": text, "period": -1.5}
    finding = busy_report["findings"][0] | {"evidence": [row]}
    write_csv(busy_report | {"findings": [finding]}, tmp_path)
    (written,) = _read(tmp_path / "evidence.csv")
    assert (written["detail"], written["period"]) == (f"'{text}", "-1.5")
