"""`chamaleonet report` as a user runs it."""

from __future__ import annotations

import csv
import importlib.util
import json

import pytest

from chamaleonet.cli import main
from tests.test_replay import pcap
from tests.traffic import ACK, RST, SECOND, SYN, Record, ethernet, tcp, udp

pytest.importorskip("ibis")

POLLER, GONE, WELL = "10.0.0.7", "192.0.2.66", "192.0.2.1"


def polled(minutes=3):
    """A host asks a server that is gone every other second, and another one that is well."""
    for at in range(0, minutes * 60, 2):
        yield Record(ethernet(tcp(POLLER, GONE, SYN, sport=20000 + at, dport=8080)), at * SECOND)
        yield Record(ethernet(udp("10.0.0.8", WELL, sport=20000 + at, dport=123)), at * SECOND + 1)
        yield Record(ethernet(udp(WELL, "10.0.0.8", sport=123, dport=20000 + at)), at * SECOND + 2)
    closed = tcp(WELL, "10.0.0.8", RST | ACK, sport=81, dport=4000)
    yield Record(ethernet(tcp("10.0.0.8", WELL, SYN, sport=4000, dport=81)), minutes * 60 * SECOND)
    yield Record(ethernet(closed), minutes * 60 * SECOND + 1)


@pytest.fixture
def capture(tmp_path):
    path = tmp_path / "polled.pcap"
    path.write_bytes(pcap(polled()))
    return path


def test_a_capture_is_judged_and_reported_in_one_step(capture, tmp_path, capsys):
    page, sheets = tmp_path / "report.html", tmp_path / "sheets"
    arguments = [str(capture), "-o", str(page), "--json", "--csv", str(sheets)]
    assert main(["report", *arguments]) == 0
    report = json.loads(capsys.readouterr().out)
    [finding] = report["findings"]
    told = finding["kind"], finding["hosts"], finding["flows"]
    assert told == ("stale_server", [POLLER], 89), "the last one still waits"
    flows = {
        (row["direction"], row["protocol"], row["verdict"]): row["flows"]
        for row in report["tables"]["verdicts"]
    }
    assert flows["outbound", "udp", "answered"] == 90
    assert flows["outbound", "tcp", "refused"] == 1
    assert report["about"]["source"] == str(capture)
    text = page.read_text()
    assert GONE in text
    assert POLLER in text
    with next(sheets.glob("*verdicts*.csv")).open() as file:
        assert "unanswered" in {row["verdict"] for row in csv.DictReader(file)}


def test_a_report_of_a_part(capture, capsys):
    arguments = ["--since", "1970-01-01T00:01", "--until", "1970-01-01T00:02+00:00"]
    assert main(["report", str(capture), "--json", *arguments]) == 0
    report = json.loads(capsys.readouterr().out)
    assert 25 <= report["about"]["logged"] <= 31
    assert report["about"]["since"] == "1970-01-01T00:01:00Z"


def test_what_must_not_be_talked_to_is_named(capture, tmp_path, capsys):
    listed, suppressed = tmp_path / "listed.txt", tmp_path / "suppressed.yaml"
    listed.write_text(f"# gone bad\n{GONE}/32\n")
    assert main(["report", str(capture), "--json", "--indicators", str(listed)]) == 0
    report = json.loads(capsys.readouterr().out)
    assert "listed_contact" in {finding["kind"] for finding in report["findings"]}
    listed.write_text("not an address\n")
    assert main(["report", str(capture), "--json", "--indicators", str(listed)]) == 2
    assert f"{listed}:1: " in capsys.readouterr().err
    suppressed.write_text("- {kind: no_such_kind}\n")
    assert main(["report", str(capture), "--json", "--suppress", str(suppressed)]) == 2
    assert f"{suppressed}:1: " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ([], "say where the report goes"),
        (["--json", "--since", "yesterday"], "'yesterday' is no time"),
        (["--json", "--timezone", "Mars/Olympus"], "--timezone Mars/Olympus: no such time zone"),
        (["-o", "/no/such/place/report.html"], "/no/such/place/report.html: No such file"),
    ],
)
def test_mistakes_are_named(capture, capsys, options, complaint):
    assert main(["report", str(capture), *options]) == 2
    assert complaint in capsys.readouterr().err


def test_no_log_is_named(tmp_path, capsys):
    for path in (tmp_path, tmp_path / "missing.pcap"):
        assert main(["report", str(path), "--json"]) == 2
        assert str(path) in capsys.readouterr().err


def test_without_the_extra_it_says_what_to_install(capture, capsys, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    assert main(["report", str(capture), "--json"]) == 2
    assert "pip install 'chamaleonet[report]'" in capsys.readouterr().err
