"""The stream is followed, through whatever the controller does; and what is printed for pipes."""

import subprocess
import sys

import pytest

from chamaleonet.errors import UserError
from chamaleonet.flows.transitions import State
from chamaleonet.log.stream.endpoint import Endpoint
from chamaleonet.top.watch import Followed, top
from tests.log.stream.streams import until
from tests.top.build import NOW, counted, tcp
from tests.top.pseudo import flows, stream, tell


@pytest.fixture
def address(tmp_path):
    return Endpoint(f"unix:{tmp_path}/verdicts")


def hosts(followed):
    with followed.lock:
        return counted(followed.model)


def test_it_follows_from_one_controller_to_the_next(address):
    with Followed(address, 100, lambda: NOW, retry=0.02) as followed:
        assert followed.status == "waiting for the controller"
        with stream(address, tcp(1)) as producer:
            until(lambda: followed.model.current)
            assert followed.status == "connected"
            tell(producer, [tcp(2, state=State.REFUSED)])
            until(lambda: hosts(followed) == {"10.0.0.1": (2, 1, 2, 0)})
        until(lambda: followed.status == "waiting for the controller")
        assert hosts(followed) == {"10.0.0.1": (2, 1, 2, 0)}
        with stream(address, tcp(3, client="10.0.0.3")):
            until(lambda: hosts(followed) == {"10.0.0.1": (0, 1, 2, 0), "10.0.0.3": (1, 0, 1, 0)})


def test_a_mistake_of_ours_is_not_hidden_by_the_thread(address):
    with Followed(address, 100, lambda: 1 / 0, retry=0.02) as followed:
        followed.check()
        with stream(address, tcp(1)), pytest.raises(ZeroDivisionError):
            until(followed.check)


def test_a_socket_that_is_not_ours_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"unix:.*/file/verdicts: Not a directory"):
        top(Endpoint(f"unix:{tmp_path}/file/verdicts"), keep=10)


def command(address, *options):
    return subprocess.Popen(
        [sys.executable, "-m", "chamaleonet", "top", "--stream", address.address, *options],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def test_piped_it_prints_a_table_each_interval_and_ends_on_count(address):
    with stream(address, *flows(25)) as producer:
        process = command(address, "--count", "2", "--interval", "500ms", "--rows", "3")
        lines = [process.stdout.readline() for _ in range(4)]
        assert lines[0].split() == [
            "#", "time", "list", "name", "now", "minute", "total", "recovered", "last",
        ]  # fmt: skip
        assert [line.split()[1:6] for line in lines[1:]] == [
            ["hosts", f"10.0.0.{n}", "3", "0", "3"] for n in (1, 2, 3)
        ]
        tell(producer, flows(10, 100))
        rest, said = process.communicate(timeout=60)
        assert process.returncode == 0
        assert len(rest.splitlines()) == 4
        assert "connected" in said


@pytest.mark.parametrize("name", ["servers", "ports", "verdicts", "findings"])
def test_once_prints_one_table_as_soon_as_all_is_told(address, name):
    with stream(address, *flows(5)):
        process = command(address, "--once", "--interval", "1h", "--list", name)
        out, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    table = out.splitlines()
    assert len(table) == (1 if name == "findings" else 2)


def test_once_without_a_controller_fails_and_says_why(address):
    process = command(address, "--once", "--interval", "300ms")
    out, said = process.communicate(timeout=60)
    assert (process.returncode, out) == (1, "")
    assert said == f"{address.address}: waiting for the controller\n"


def test_it_ends_quietly_when_nobody_reads(address):
    with stream(address, *flows(5)):
        process = command(address, "--interval", "100ms")
        process.stdout.readline()
        process.stdout.close()
        assert process.wait(60) == 128 + 13
        assert "Traceback" not in process.stderr.read()


def test_mistakes_of_the_command_line_are_named(address):
    for options, said in (
        (["--interval", "0s"], "--interval"),
        (["--keep", "0"], "--keep"),
        (["--once", "--count", "2"], "--count"),
        (["--sort", "size"], "--sort"),
    ):
        process = command(address, *options)
        assert said in process.communicate(timeout=60)[1]
        assert process.returncode == 2
