"""From a scenario and its seed to a plan: which command runs where and when.

The plan is made before anything runs and draws from generators of its own, one for each traffic,
so the same seed gives the same plan, and a traffic that is added changes no other.
"""

from __future__ import annotations

import shlex
import sys
from dataclasses import dataclass
from itertools import chain
from random import Random
from typing import TYPE_CHECKING

from chamaleonet.errors import UserError
from chamaleonet.lab.scenario import SECOND, filled

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from chamaleonet.lab.inventory import End, Inventory
    from chamaleonet.lab.scenario import Scenario, Traffic

# Client ports that steps may use: below those that the kernel draws by itself (ip(7)).
_FIRST_PORT, _PORTS = 20_000, 12_000


# From a deadline until the verdict is told, its rule is there, and packets have met it: a SYN is
# repeated at 1, 3 and 7 s.
_AFTER_DEADLINE = 2 * SECOND


def patience(timeout: int) -> int:
    """Return how many nanoseconds before the end nothing new may begin.

    Args:
        timeout: ns until a flow is unanswered.
    """
    return timeout + _AFTER_DEADLINE


@dataclass(frozen=True)
class Step:
    """One run of a command.

    Attributes:
        at: when it starts, ns after the traffic's begin.
        until: when it is ended, if it goes on; None for what is run again and again, which ends
            by itself.
        host: the namespace that it runs in.
        traffic: the name of its traffic.
        command: with ``{directory}`` still to be filled in, if it is used.
        files: to be written into its directory before, by name.
    """

    at: int
    until: int | None
    host: str
    traffic: str
    command: tuple[str, ...]
    files: dict[str, str]


def plan(scenario: Scenario, inventory: Inventory, patience: int) -> list[Step]:
    """Return a scenario's steps, the first ones first.

    Args:
        scenario: what to plan.
        inventory: of its topology.
        patience: ns before the end in which nothing new begins.

    Raises:
        UserError: a selector names nothing.
    """
    ports: dict[str, Iterator[int]] = {}
    steps = [
        step
        for traffic in chain(scenario.traffic, scenario.plants)
        for step in _steps(traffic, scenario, inventory, patience, ports)
    ]
    return sorted(steps, key=lambda step: (step.at, step.traffic))


def _steps(
    traffic: Traffic,
    scenario: Scenario,
    inventory: Inventory,
    patience: int,
    ports: dict[str, Iterator[int]],
) -> Iterator[Step]:
    random = Random(f"{scenario.seed}/{traffic.name}")
    clients = [end for each in traffic.clients for end in inventory.ends(each)]
    servers = [end for each in traffic.servers for end in inventory.ends(each)]
    families = {"4": (4,), "6": (6,), "both": (4, 6)}[traffic.family]
    end = scenario.seconds * SECOND - patience
    stop = min(traffic.stop or end, end)
    for number, at in enumerate(_times(traffic, stop, len(clients), random)):
        in_turn = traffic.turns or traffic.every is None
        client = clients[number % len(clients)] if in_turn else random.choice(clients)
        family = families[number % len(families)]
        server = _server(servers, number, random, traffic)
        if client.host is None:
            raise UserError(f"{traffic.name}: clients: nothing runs at {client.addresses}")
        ends = [end for end in (client, server) if end is not None]
        if any(family not in end.addresses for end in ends):
            family = next(
                (each for each in (4, 6) if all(each in end.addresses for end in ends)), 0
            )
        if not family:
            raise UserError(f"{traffic.name}: client and server share no IP version")
        if client.host not in ports:
            ports[client.host] = _ports(scenario.seed, client.host)
        asked = server.addresses[family] if server else ""
        words = {
            **host_words(inventory, client.host),
            "client": client.addresses[family],
            "server": asked,
            "server_url": f"[{asked}]" if family == 6 else asked,
            "family": str(family),
            "number": str(number),
            "seed": str(scenario.seed),
        }
        if "{port}" in traffic.run:
            words["port"] = str(next(ports[client.host]))
        yield Step(
            at,
            stop if traffic.every is None else None,
            client.host,
            traffic.name,
            command_of(traffic.run, words),
            {name: filled(text, words) for name, text in traffic.files.items()},
        )


def command_of(run: str, words: Mapping[str, str]) -> tuple[str, ...]:
    """Return a command's words, filled in; what is filled in is never split."""
    return tuple(filled(word, words) for word in shlex.split(run))


def host_words(inventory: Inventory, host: str) -> dict[str, str]:
    """Return the words that are filled in by the host alone; a router has no address of its own."""
    its = inventory.hosts.get(host)
    return {"python": sys.executable} | {
        f"address{family}": addresses[0]
        for family, addresses in (its.addresses if its else {}).items()
        if addresses
    }


def _server(servers: list[End], number: int, random: Random, traffic: Traffic) -> End | None:
    if not servers:
        return None
    return servers[number % len(servers)] if traffic.turns else random.choice(servers)


def _times(traffic: Traffic, stop: int, clients: int, random: Random) -> Iterator[int]:
    """Yield when each step of a traffic starts, ns."""
    at = traffic.start or 0
    if traffic.every is None:
        for _ in range(clients):
            yield at
        return
    while at < stop:
        yield at + int(random.random() * traffic.jitter * traffic.every)
        at += traffic.every


def _ports(seed: int, host: str) -> Iterator[int]:
    """Yield client ports of a host, each once, in an order of the seed's."""
    return iter(Random(f"{seed}/{host}").sample(range(_FIRST_PORT, _FIRST_PORT + _PORTS), _PORTS))
