"""`chamaleonet demo`: the verdicts that must come out, and nothing left behind."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    pytest.mark.skipif(not shutil.which("ovs-vsctl"), reason="needs Open vSwitch"),
    pytest.mark.skipif(not shutil.which("mnexec"), reason="needs Mininet"),
]

COMMAND = [sys.executable, "-m", "chamaleonet", "demo", "--seconds", "1"]


def _said(*command):
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def _nothing_left():
    assert "chs1" not in _said("ovs-vsctl", "list-br")
    links = _said("ip", "-o", "link")
    assert "chs1" not in links
    assert "chlog0" not in links


@pytest.mark.parametrize("pipeline", ["conntrack", "reactive"])
def test_the_verdicts_are_those_expected(pipeline, tmp_path):
    result = tmp_path / "result.json"
    done = subprocess.run(
        [*COMMAND, "--pipeline", pipeline, "--json", str(result)],
        capture_output=True, text=True, timeout=200,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(result.read_text())
    assert told["verdicts"] == told["expected"]
    assert told["verdicts"]["unanswered"] == 4
    assert 0 < told["logger_packets"] < told["controller_packets"] < told["switch_packets"]
    assert told["redirect_rules_installed"] >= 6
    assert told["verdict_delay_ms"]["p50"] > 0
    assert {Path(path).name.partition("Z.")[2] for path in told["files"]} == {
        "pcapng.zst", "flows.parquet", "healthy.parquet",
    }  # fmt: skip
    [counters] = [path for path in told["files"] if path.endswith(".healthy.parquet")]
    rows = pq.ParquetFile(counters).read().to_pylist()
    answered = sum(row["flows"] for row in rows if row["verdict"] == "answered")
    assert answered == told["verdicts"]["answered"]
    assert {row["client_packets"] for row in rows} == {None}, "the switch kept them back"
    assert told["expected"].keys() <= set(re.findall(r"\w+", Path(told["report"]).read_text()))
    _nothing_left()
    shutil.rmtree(Path(told["report"]).parent)


def test_interrupted_it_cleans_up():
    with subprocess.Popen(COMMAND, stdout=subprocess.PIPE, text=True) as process:
        assert "building" in process.stdout.readline()
        while (
            "chs1"
            not in subprocess.run(["ovs-vsctl", "list-br"], capture_output=True, text=True).stdout
        ):
            time.sleep(0.1)
        time.sleep(1)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
    _nothing_left()
