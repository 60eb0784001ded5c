"""The units in deploy/systemd: systemd accepts them, and rates what they may do."""

import configparser
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "deploy" / "systemd"
UNITS = ["chamaleonet-controller.service", "chamaleonet-logger.service"]

pytestmark = pytest.mark.skipif(
    not shutil.which("systemd-analyze"), reason="needs Debian's package systemd"
)


def analyze(*arguments, path):
    return subprocess.run(
        ["systemd-analyze", *arguments], capture_output=True, text=True, check=False,
        env=os.environ | {"SYSTEMD_UNIT_PATH": f"{path}:", "SYSTEMD_COLORS": "0"},
    )  # fmt: skip


@pytest.fixture(params=UNITS)
def unit(request, tmp_path):
    """A unit whose program exists, in a folder by itself."""
    text = (FOLDER / request.param).read_text()
    (tmp_path / request.param).write_text(text.replace("/usr/bin/chamaleonet", sys.executable))
    return tmp_path / request.param


def with_candidate_port(unit):
    folder = unit.parent / f"{unit.name}.d"
    folder.mkdir()
    shutil.copy(FOLDER / "candidate-port.conf", folder)


def test_systemd_finds_no_fault(unit):
    if "controller" in unit.name:
        with_candidate_port(unit)
    done = analyze("verify", "--man=no", str(unit), path=unit.parent)
    said = [line for line in done.stderr.splitlines() if "chamaleonet" in line]
    assert (done.returncode, said) == (0, []), done.stderr


def exposure(unit):
    done = analyze("security", "--offline=true", "--no-pager", str(unit), path=unit.parent)
    found = re.search(r"Overall exposure level for \S+: ([\d.]+) (\w+)", done.stdout)
    assert found, done.stderr
    return float(found[1]), found[2]


def test_what_it_may_do_is_little(unit):
    level, word = exposure(unit)
    assert word == "OK"
    assert level <= 2.0


def test_so_it_is_where_candidates_come_by_a_port(tmp_path):
    unit = tmp_path / UNITS[0]
    shutil.copy(FOLDER / UNITS[0], unit)
    before, _ = exposure(unit)
    lines = (FOLDER / "candidate-port.conf").read_text().partition("[Service]\n")[2]
    text = unit.read_text().replace("\n[Install]", f"{lines}\n[Install]")
    unit.write_text(text)
    level, word = exposure(unit)
    assert word == "OK"
    assert before <= level <= 2.0


def test_each_process_has_a_user_and_folders_of_its_own_and_no_capability_but_one():
    def service(name):
        unit = configparser.ConfigParser(strict=False, interpolation=None)
        unit.optionxform = str
        unit.read(FOLDER / name)
        return unit["Service"]

    controller, logger = map(service, UNITS)
    assert controller["User"] != logger["User"]
    for key in ("StateDirectory", "CacheDirectory"):
        assert not set(controller[key].split()) & set(logger[key].split())
    assert controller["CapabilityBoundingSet"] == controller["AmbientCapabilities"] == ""
    assert logger["CapabilityBoundingSet"] == logger["AmbientCapabilities"] == "CAP_NET_RAW"
    assert all(each["Type"] == "notify" and each["WatchdogSec"] for each in (controller, logger))
