"""A lease of Kubernetes."""

import pytest

from chamaleonet.election.http import JsonClient
from chamaleonet.election.kubernetes import KubernetesLease
from chamaleonet.election.lease import LeaseError
from tests.election.services import ApiServer


@pytest.fixture
def server():
    server = ApiServer()
    yield server
    server.close()


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def node(server, clock):
    def node(identity, token="secret"):
        client = JsonClient(
            [server.address], 20.0, headers=lambda: {"Authorization": f"Bearer {token}"}
        )
        return KubernetesLease(client, "default", "watch", identity, 5, clock=clock)

    return node


def test_one_of_two_holds_it_and_goes_on_to(node, server):
    a, b = node("a"), node("b")
    assert [a.hold(), b.hold(), a.hold(), b.hold()] == [1, None, 1, None]
    spec = server.leases["watch"]["spec"]
    assert (spec["holderIdentity"], spec["leaseDurationSeconds"]) == ("a", 5)
    assert spec["renewTime"].endswith("Z")
    assert spec["acquireTime"] <= spec["renewTime"]


def test_it_passes_on_when_it_was_not_renewed_for_its_time_by_our_own_clock(node, clock):
    a, b = node("a"), node("b")
    a.hold()
    assert b.hold() is None
    clock.now += 4
    a.hold()
    clock.now += 4
    assert b.hold() is None, "it was renewed meanwhile"
    clock.now += 4
    assert b.hold() is None, "for four seconds it has not been seen to be renewed"
    clock.now += 1
    assert b.hold() == 2
    assert a.hold() is None


def test_it_passes_on_at_once_when_it_is_given_up(node):
    a, b = node("a"), node("b")
    a.hold()
    b.release()
    assert b.hold() is None
    a.release()
    assert b.hold() == 2
    assert a.hold() is None


def test_of_two_that_write_at_once_one_is_refused(node, server, clock):
    a, b, c = node("a"), node("b"), node("c")
    server.race = b.hold
    assert a.hold() is None, "b was first to make the lease"
    assert c.hold() is None
    assert a.hold() is None
    clock.now += 5
    server.race = c.hold
    assert a.hold() is None, "c was first to take it over"
    assert server.leases["watch"]["spec"]["holderIdentity"] == "c"
    assert c.hold() == 2


def test_a_process_that_follows_ours_goes_on_at_once_in_the_same_term(node):
    assert node("a").hold() == node("a").hold() == 1


def test_who_may_not_is_told(node):
    with pytest.raises(LeaseError, match="status 401"):
        node("a", token="wrong").hold()
    node("a", token="wrong").release()


def test_a_server_that_fails_is_an_error(node, server, monkeypatch):
    monkeypatch.setattr(server, "answer", lambda *_: (503, {}))
    with pytest.raises(LeaseError, match=server.address):
        node("a").hold()
