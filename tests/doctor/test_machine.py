"""The real machine answers in the form that checks expect."""

import os
import socket
import stat
import sys
from pathlib import Path

from prometheus_client import CollectorRegistry, Info

from chamaleonet import metrics
from chamaleonet.config import Endpoint
from chamaleonet.doctor.machine import Machine, Text

MACHINE = Machine()


def test_commands():
    assert MACHINE.run("sh", "-c", "echo out; echo err >&2; exit 3") == (3, "out\n", "err\n")
    absent = MACHINE.run("no-such-command")
    assert not absent.is_installed
    assert MACHINE.run("true").is_installed
    assert MACHINE.run("cat", Text("a\n"), Text("b\n")).out == "a\nb\n"


def test_files(tmp_path):
    path = tmp_path / "file"
    assert MACHINE.read(str(path)) is None
    assert MACHINE.entry(path) is None
    path.write_text("text")
    path.chmod(0o640)
    assert MACHINE.read(str(path)) == "text"
    entry = MACHINE.entry(path)
    assert (stat.S_IMODE(entry.mode), entry.owner) == (0o640, os.geteuid())
    assert MACHINE.may_write(tmp_path / "new" / "deep")
    assert MACHINE.free(tmp_path / "new" / "deep") > 0
    assert not Path(tmp_path / "new").exists()


def test_the_system():
    assert MACHINE.user == os.geteuid()
    assert MACHINE.python == sys.version_info[:2]
    assert MACHINE.processor[1] >= 1
    assert MACHINE.clock().error >= 0
    assert abs(MACHINE.clock_offset() - MACHINE.clock_offset()) < 10**9
    assert isinstance(MACHINE.kernels().compiled, bool)
    assert MACHINE.is_up("no-such-if") is None
    assert MACHINE.is_up("lo") in (True, False)


def test_metrics_are_those_of_our_programs_alone():
    def free():
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            return Endpoint("127.0.0.1", probe.getsockname()[1])

    ours, other, nobody = free(), free(), free()
    registry = CollectorRegistry()
    Info("something", "Else.", registry=registry)
    stops = [metrics.serve(metrics.new_registry("x"), ours), metrics.serve(registry, other)]
    try:
        assert "chamaleonet_config_info" in MACHINE.metrics(ours)
        assert MACHINE.metrics(other) is None
        assert MACHINE.metrics(nobody) is None
    finally:
        for stop in stops:
            stop()
