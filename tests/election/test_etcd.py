"""A lease in a real etcd."""

import time

import pytest

from chamaleonet.election.etcd import EtcdLease
from chamaleonet.election.http import JsonClient
from chamaleonet.election.lease import LeaseError
from tests.election.services import free_port, running_etcd


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with running_etcd(tmp_path_factory.mktemp("etcd") / "data") as address:
        yield address


@pytest.fixture
def node(server, request):
    def node(identity, *, seconds=60, servers=()):
        client = JsonClient([*servers, server], 20.0)
        return EtcdLease(client, request.node.name, identity, seconds)

    return node


def test_one_of_two_holds_it_and_goes_on_to(node):
    a, b = node("a"), node("b")
    term = a.hold()
    assert term > 0
    assert b.hold() is None
    assert a.hold() == term
    assert b.hold() is None


def test_it_passes_on_when_it_is_given_up_and_the_term_grows(node):
    a, b = node("a"), node("b")
    first = a.hold()
    a.release()
    second = b.hold()
    assert second > first
    assert a.hold() is None


def test_it_passes_on_when_its_holder_renews_it_no_more(node):
    a, b = node("a", seconds=1), node("b")
    first = a.hold()
    deadline = time.monotonic() + 60
    while (second := b.hold()) is None:
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert second > first
    assert a.hold() is None


def test_a_process_that_follows_ours_goes_on_at_once_in_the_same_term(node):
    term = node("a").hold()
    again = node("a")
    assert again.hold() == term
    assert node("b").hold() is None
    assert again.hold() == term


def test_a_server_that_is_away_is_passed_over(node):
    away = f"http://127.0.0.1:{free_port()}"
    assert node("a", servers=[away]).hold() is not None


def test_no_server_at_all_is_an_error_that_names_it():
    address = f"http://127.0.0.1:{free_port()}"
    lease = EtcdLease(JsonClient([address], 5.0), "key", "a", 5)
    with pytest.raises(LeaseError, match=f"{address}: .*refused"):
        lease.hold()
    lease.release()
