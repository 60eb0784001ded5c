"""Raw sockets in other network namespaces."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from chamaleonet.lab.namespace import entered, packet_socket
from tests.namespace import needs_root

FRAME = b"\2\0\0\0\0\1\2\0\0\0\0\2\x88\xb5" + bytes(46)  # IEEE 802 local experimental

pytestmark = needs_root


def own():
    return Path("/proc/thread-self/ns/net").readlink()


@pytest.fixture
def process():
    """A process in a namespace of its own, with two interfaces that are joined."""
    script = (
        "ip link add one type veth peer name two && ip link set one up && ip link set two up"
        " && echo ready && exec sleep 60"
    )
    process = subprocess.Popen(["unshare", "-n", "sh", "-c", script], stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"ready\n"
    yield process
    process.kill()
    process.wait()


def heard(raw):
    """Return whether the frame comes in within a second."""
    raw.settimeout(1)
    try:
        while raw.recv(2048) != FRAME:
            pass
    except TimeoutError:
        return False
    return True


def test_sockets_stay_in_the_namespace_where_they_were_made(process):
    before = own()
    with entered(process.pid):
        assert own() != before
        one, two, deaf = (
            packet_socket("one", hears=False), packet_socket("two"),
            packet_socket("two", hears=False),
        )  # fmt: skip
    assert own() == before
    with one, two, deaf:
        one.send(FRAME)
        assert heard(two)
        assert not heard(deaf)


def test_what_is_not_there_is_told(process):
    before = own()
    with pytest.raises(OSError, match="No such device"), entered(process.pid):
        packet_socket("three")
    with pytest.raises(FileNotFoundError), entered(1 << 22):
        pytest.fail("there is no such process")
    assert own() == before
