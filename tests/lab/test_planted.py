"""Which flows a plant is about."""

from __future__ import annotations

import pytest

from chamaleonet.errors import UserError
from chamaleonet.lab.planted import Planted
from chamaleonet.lab.truth import Key
from tests.lab.recorded import GONE, HPC, INVENTORY, PLANT, STAFF, WWW, scenario


def planted(**changes):
    [plant] = scenario(PLANT | changes).plants
    return Planted(plant, INVENTORY)


@pytest.mark.parametrize(
    ("match", "key", "meant"),
    [
        ({}, Key("tcp", HPC, 1, GONE, 80), True),
        ({}, Key("tcp", HPC, 1, WWW, 80), False),
        ({}, Key("tcp", STAFF, 1, GONE, 80), False),
        ({}, Key("tcp", GONE, 80, HPC, 1), False),
        ({"services": "tcp/80"}, Key("tcp", HPC, 1, GONE, 81), False),
        ({"services": ["tcp/80", "udp/80"]}, Key("udp", HPC, 1, GONE, 80), True),
        ({"services": "icmp"}, Key("icmp", HPC, None, GONE, None), True),
        ({"services": "icmp"}, Key("tcp", HPC, 1, GONE, 80), False),
        ({"clients": "10.20.0.0/16"}, Key("tcp", STAFF, 1, GONE, 80), True),
        ({"clients": "10.20.0.0/16"}, Key("tcp", STAFF, 1, WWW, 80), False),
        ({"servers": "staff"}, Key("tcp", HPC, 1, "2001:db8:20:10::10", 80), True),
    ],
)
def test_what_is_not_said_is_the_plants_own(match, key, meant):
    assert planted(match=match).is_of(key) is meant


def test_a_plant_without_servers_is_about_any():
    assert planted(match={}, servers=()).is_of(Key("tcp", HPC, 1, "203.0.113.1", 9))


def test_its_machines():
    plant = planted(match={"clients": "staff"})
    assert STAFF in plant.place
    assert HPC not in plant.place
    assert plant.touches(Key("tcp", WWW, 1, STAFF, 9))
    assert not plant.touches(Key("tcp", WWW, 1, HPC, 9))


def test_a_selector_that_names_nothing():
    with pytest.raises(UserError, match="lab"):
        planted(clients="lab")
