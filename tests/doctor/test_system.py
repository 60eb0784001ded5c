"""The machine, as healthy and in each way that it can be ill."""

import os
import stat
from pathlib import Path

import pytest

from chamaleonet.doctor.examine import CLOCK_STEPS
from chamaleonet.doctor.machine import Answer, Clock, Entry, Kernels
from chamaleonet.log.anonymise.keyfile import write_key
from tests.certificates import make_authority, make_certificate, needs_openssl
from tests.doctor.recorded import Recorded, configured, context, says

MEBI = 1 << 20
SOCKET = Path("/run/chamaleonet/verdicts.sock")


@pytest.fixture
def machine():
    return Recorded()


@pytest.mark.parametrize(
    ("version", "verdict"),
    [((3, 10), "fail"), ((3, 11), "ok"), ((3, 13), "ok"), ((3, 14), "fail")],
)
def test_python(machine, version, verdict):
    machine.python = version
    assert says("python", machine)[0] == verdict


def test_processor(machine):
    assert says("processor", machine) == ("ok", "2 of x86_64", "")
    machine.processor = "aarch64", 4
    verdict, found, _ = says("processor", machine)
    assert (verdict, found) == ("warn", "4 of aarch64: kernels are compiled at each start")


def test_kernels(machine):
    assert says("kernels", machine)[0] == "ok"
    machine.has_kernels = Kernels(Path("/c"), compiled=False)
    assert says("kernels", machine)[0] == "warn"
    machine.has_kernels = Kernels(None, compiled=False)
    verdict, _, todo = says("kernels", machine)
    assert verdict == "warn"
    assert "CACHE_DIRECTORY" in todo


def test_framework(machine):
    assert says("framework", machine) == ("ok", "os_ken and eventlet can be imported", "")
    machine.run = lambda *_: Answer(1, "", "Traceback\nModuleNotFoundError: no eventlet\n")
    verdict, found, todo = says("framework", machine)
    assert (verdict, found) == ("fail", "ModuleNotFoundError: no eventlet")
    assert todo.startswith("pip install")


def test_clock(machine):
    assert says("clock", machine) == ("ok", "synchronised, 20 ms off at most", "")
    machine.clock_is = Clock(is_synchronised=False, error=16.0)
    verdict, _, todo = says("clock", machine)
    assert verdict == "warn"
    assert "timedatectl set-ntp true" in todo


def test_clock_steps(machine):
    ctx = context(machine)
    assert CLOCK_STEPS.run(ctx).verdict.value == "ok"
    machine.offset += 3 * 10**9
    result = CLOCK_STEPS.run(ctx)
    assert result.verdict.value == "warn"
    assert "set by 3.0 s" in result.found


def test_memory(machine):
    verdict, found, _ = says("memory", machine)
    assert verdict == "ok"
    assert "5859 of 7812 free" in found
    machine.pages = {}
    assert says("memory", machine, configured(max_flows=20_000_000))[0] == "warn"
    verdict, _, todo = says("memory", machine, configured(max_flows=1 << 27))
    assert verdict == "fail"
    assert "max_flows" in todo
    machine.files["/sys/fs/cgroup/memory.max"] = f"{256 * MEBI}\n"  # a container's limit
    assert says("memory", machine)[0] == "fail"
    machine.files["/sys/fs/cgroup/memory.max"] = "max\n"
    assert says("memory", machine)[0] == "ok"
    del machine.files["/proc/meminfo"]
    assert says("memory", machine)[0] == "skipped"


def test_memory_that_running_programs_have_already_need_not_be_free(machine):
    machine.files["/proc/meminfo"] = "MemTotal: 8000000 kB\nMemAvailable: 10000 kB\n"
    assert says("memory", machine)[0] == "ok"
    machine.pages = {}
    assert says("memory", machine)[0] == "warn"


def test_backlog(machine):
    assert says("backlog", machine)[0] == "ok"
    machine.files["/proc/net/softnet_stat"] = "0003e5a1 00000020 00000012\n000001 00000001 0\n"
    verdict, found, todo = says("backlog", machine)
    assert verdict == "warn"
    assert "dropped 33 packets" in found
    assert todo == "sysctl -w net.core.netdev_max_backlog=10000"
    machine.files["/proc/sys/net/core/netdev_max_backlog"] = "2000\n"
    assert says("backlog", machine)[2].endswith("=20000")
    del machine.files["/proc/net/softnet_stat"]
    assert says("backlog", machine)[0] == "skipped"


def test_capture(machine):
    assert says("capture", machine)[:2] == ("ok", "user 0 may capture packets")
    machine.user = 1000
    machine.files["/proc/self/status"] = "CapEff:\t0000000000000000\n"
    verdict, _, todo = says("capture", machine)
    assert verdict == "warn"
    assert "CAP_NET_RAW" in todo
    machine.files["/proc/self/status"] = "CapEff:\t0000000000002000\n"
    assert says("capture", machine)[0] == "ok"
    by_packet_ins = configured(
        switch__candidates={"port": None, "interface": None}, logger__interface=None
    )
    assert says("capture", machine, by_packet_ins)[0] == "skipped"


def test_key(machine, tmp_path):
    machine.user = os.geteuid()
    path = tmp_path / "key"
    config = configured(logger__anonymise__key=str(path))
    verdict, found, todo = says("key", machine, config)
    assert verdict == "fail"
    assert "no such file" in found
    assert todo == f"make a key with: chamaleonet keygen {path}"
    write_key(path)
    assert says("key", machine, config)[0] == "ok"
    path.chmod(0o644)
    assert says("key", machine, config) == (
        "fail", f"{path}: has mode 0644, not 0600", f"chmod 0600 {path}"
    )  # fmt: skip
    assert says("key", machine, configured(logger__anonymise__addresses="none"))[0] == "skipped"


def test_the_key_of_somebody_else(machine, tmp_path):
    path = tmp_path / "key"
    config = configured(logger__anonymise__key=str(path))
    machine.entries[path] = Entry(stat.S_IFREG | 0o600, 990)
    assert says("key", machine, config)[0] == "skipped"
    machine.entries[path] = Entry(stat.S_IFREG | 0o640, 990)
    assert says("key", machine, config)[2] == f"chmod 0600 {path}"


@needs_openssl
def test_certificates(machine, tmp_path):
    assert says("certificates", machine)[0] == "skipped"
    machine.user = os.geteuid()
    files = make_certificate(tmp_path, "controller", make_authority(tmp_path, "ca"))
    paths = {"certificate": str(files.certificate), "key": str(files.key), "ca": str(files.ca)}
    config = configured(openflow__tls=paths)
    files.key.chmod(0o600)
    assert says("certificates", machine, config)[0] == "ok"
    files.key.chmod(0o644)
    assert says("certificates", machine, config)[2] == f"chmod 0600 {files.key}"
    machine.entries[files.key] = Entry(stat.S_IFREG | 0o600, 990)
    assert says("certificates", machine, config)[0] == "skipped"
    del machine.entries[files.key]
    files.ca.unlink()
    assert says("certificates", machine, config) == (
        "fail", f"{files.ca}: No such file or directory", "see docs/security.md"
    )  # fmt: skip


def test_directories(machine):
    assert says("directories", machine)[0] == "ok"
    machine.writable = False
    assert says("directories", machine)[0] == "fail"
    machine.user = 1000
    verdict, found, _ = says("directories", machine)
    assert verdict == "skipped"
    assert found == "logger.directory: user 1000 may not write to /var/lib/chamaleonet/log"


def test_disk(machine):
    assert says("disk", machine)[0] == "ok"
    machine.free_bytes = 500 * MEBI
    verdict, found, todo = says("disk", machine)
    assert (verdict, found) == ("warn", "/var/lib/chamaleonet/log: 500 MiB free")
    assert "2GiB" in todo
    machine.free_bytes = 10 * MEBI
    assert says("disk", machine)[0] == "fail"
    machine.free_bytes = 100 * MEBI
    config = configured(logger__rotation__size="10MiB")
    assert "spool: 100 MiB free" in says("disk", machine, config)[1]
    config = configured(logger__rotation__size="10MiB", stream__spool=None)
    assert says("disk", machine, config)[0] == "ok"
    config = configured(
        logger__rotation__size="10MiB", stream__spool=None, checkpoint__flows=1_000_000
    )
    assert "checkpoint: 100 MiB free" in says("disk", machine, config)[1]


def test_stream(machine):
    assert says("stream", machine)[0] == "ok"
    machine.entries[SOCKET] = Entry(stat.S_IFSOCK | 0o666, 0)
    assert says("stream", machine)[2] == f"chmod 600 {SOCKET}"
    machine.entries[SOCKET] = Entry(stat.S_IFREG | 0o600, 0)
    assert says("stream", machine)[0] == "fail"
    machine.entries = {}
    assert says("stream", machine)[0] == "fail"
    machine.pages = {}
    assert says("stream", machine)[:2] == ("skipped", "the controller does not run")
