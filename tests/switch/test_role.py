"""Roles, as a switch of OpenFlow 1.3 answers."""

import itertools
import struct

import pytest

from chamaleonet.switch import framework
from chamaleonet.switch.role import Role, Standing

EQUAL, MASTER, SLAVE = 1, 2, 3
NONE = (1 << 64) - 1


@pytest.fixture
def role():
    return Role(itertools.count(7).__next__)


def asked(message):
    """Return (role, generation id, transaction id) of a role request."""
    version, kind, length, xid, wanted, generation = struct.unpack("!BBHII4xQ", message)
    assert (version, kind, length) == (4, 24, len(message))
    return wanted, generation, xid


def test_requests_equal_the_frameworks(role):
    class Datapath:
        ofproto = framework.ofproto
        ofproto_parser = framework._parser

    message = framework._parser.OFPRoleRequest(Datapath, MASTER, 5)
    message.set_xid(7)
    message.serialize()
    assert role.claim(5) == bytes(message.buf)


def test_a_standby_asks_and_becomes_slave(role):
    assert asked(role.ask())[:2] == (0, 0)
    assert asked(role.on_reply(EQUAL, 41))[:2] == (SLAVE, 41)
    assert role.on_reply(SLAVE, 41) == b""
    assert (role.standing, role.generation) == (Standing.SLAVE, 41)


def test_a_switch_that_has_seen_no_generation_is_told_the_first(role):
    role.ask()
    assert asked(role.on_reply(EQUAL, NONE))[:2] == (SLAVE, 0)
    assert role.generation is None


def test_a_master_claims_with_its_term_and_is_one_when_the_switch_says_so(role):
    role.ask()
    role.on_reply(EQUAL, 41)
    wanted, generation, xid = asked(role.claim(42))
    assert (wanted, generation) == (MASTER, 42)
    assert role.standing is Standing.UNKNOWN
    assert role.on_reply(SLAVE, 41) == b"", "an answer from before the claim"
    assert role.standing is Standing.UNKNOWN
    assert role.on_reply(MASTER, 42) == b""
    assert role.standing is Standing.MASTER
    assert role.is_claim(xid)
    assert not role.is_claim(xid - 1)


def test_a_master_learns_that_the_switch_obeys_another_one(role):
    role.claim(42)
    role.on_reply(MASTER, 42)
    assert asked(role.ask())[0] == 0
    assert role.on_reply(MASTER, 42) == b""
    assert role.standing is Standing.MASTER
    assert role.on_reply(SLAVE, 43) == b""
    assert (role.standing, role.generation) == (Standing.SLAVE, 43)
