"""The scenarios that come with the package."""

from __future__ import annotations

from pathlib import Path

import pytest

from chamaleonet.lab import scenario
from chamaleonet.lab.machine import DIST_PACKAGES
from chamaleonet.lab.plan import plan
from chamaleonet.lab.planted import Planted
from chamaleonet.lab.scenario import SECOND
from chamaleonet.lab.topology import load

pytestmark = pytest.mark.skipif(
    not Path(DIST_PACKAGES, "mininet").is_dir(), reason="needs Debian's package mininet"
)
NAMES = scenario.names()
README = Path(__file__).parents[2] / "README.md"


@pytest.fixture(params=NAMES)
def shipped(request):
    return scenario.load(request.param)


def test_names_what_its_topology_has(shipped):
    topology = load(shipped.topology)
    for server in shipped.servers:
        topology.check_node(server.host)
    for fault in shipped.faults:
        topology.check_node(fault.at)
    for plant in shipped.plants:
        Planted(plant, topology.inventory)
    for selector in (*shipped.indicators, *(to for fault in shipped.faults for to in fault.to)):
        assert topology.inventory.networks(selector)


def test_its_plan_is_repeatable_and_each_plant_runs_often_enough(shipped):
    inventory = load(shipped.topology).inventory
    steps = plan(shipped, inventory, 4 * SECOND)
    assert steps == plan(shipped, inventory, 4 * SECOND)
    other = plan(shipped.model_copy(update={"seed": 2}), inventory, 4 * SECOND)
    assert [step.command for step in steps] != [step.command for step in other]
    ran = {step.traffic for step in steps}
    assert ran == {each.name for each in (*shipped.traffic, *shipped.plants)}


def test_failures_say_where_they_are_described():
    """Those on other topologies are there to try these, and two tell of no failure of their own."""
    for name in set(NAMES) - {"campus", "healthy", "single", "tap", "asymmetric"}:
        assert scenario.load(name).literature, name


def test_all_failures_of_the_campus_are_in_one():
    whole = scenario.load("campus")
    planted = {plant.name for plant in whole.plants}
    for name in NAMES:
        each = scenario.load(name)
        if each.topology == "campus" and each.seconds <= whole.seconds:
            assert {plant.name for plant in each.plants} <= planted, name


def test_the_healthy_one_plants_nothing():
    healthy = scenario.load("healthy")
    assert (healthy.plants, healthy.faults, healthy.indicators) == ((), (), ())
    assert len(healthy.traffic) > 5
