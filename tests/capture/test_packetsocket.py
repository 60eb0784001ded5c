import pytest

from chamaleonet.capture import bpf
from chamaleonet.capture.packetsocket import Statistics, open_socket
from chamaleonet.capture.ring import Ring
from tests.capture.test_ring import receive, taken
from tests.namespace import needs_root

pytestmark = [pytest.mark.root, needs_root]

FRAME = b"\2" * 12 + b"\x88\xb5" + bytes(50)


def test_what_is_counted_adds_up(namespace, send):
    with Ring(namespace.call(open_socket, "near", retire=1)) as ring:
        for _ in range(3):
            send(FRAME)
        receive(ring, 3)
        assert (ring.received, ring.dropped) == (3, 0)
        send(FRAME)
        receive(ring, 1)
        assert ring.received == 4


def test_a_filter_lets_in_what_it_accepts_from_the_beginning(namespace, send):
    nothing, _room = bpf.packed((bpf.Instruction(bpf.RET | bpf.K, 0, 0, 0),))
    connection = namespace.call(open_socket, "near", retire=1, accept=nothing)
    with Ring(connection) as ring:
        send(FRAME)
        assert taken(ring) == []
        assert Statistics(connection).received == 0
