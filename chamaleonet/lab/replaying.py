"""Replays as parts of scenarios, and scenarios that are nothing but a replay."""

from __future__ import annotations

from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING

from chamaleonet.errors import UserError
from chamaleonet.flows.engine import Settings
from chamaleonet.lab.mapping import Mapping
from chamaleonet.lab.plan import patience
from chamaleonet.lab.replay import needed, prepare
from chamaleonet.lab.scenario import Scenario
from chamaleonet.lab.schedule import ARRIVES, PACKETS_PER_SECOND, SECOND
from chamaleonet.units import duration_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from chamaleonet.config import Config
    from chamaleonet.lab.inventory import Inventory
    from chamaleonet.lab.replay import Prepared
    from chamaleonet.lab.scenario import Pipeline, Replay
    from chamaleonet.lab.topology import Topology

# A shorter timeout cannot be told from the delays of a busy machine.
_LEAST_TIMEOUT = 3 * SECOND // 10
_LEAST_SECONDS, _MOST_SECONDS = 5, 3600  # of a scenario
_LATE = SECOND // 10  # by which packets may be behind before that is said


def prepared(scenario: Scenario, topology: Topology, config: Config, until: int) -> Prepared | None:
    """Return what a scenario has sent of captures; None if it replays none.

    Args:
        scenario: may have ``replay``.
        topology: where.
        config: of the controller.
        until: when the last packet may be sent, ns after the first one.

    Raises:
        UserError: a capture cannot be read or is damaged, nothing in it can be sent or would be
            seen, or its map names nothing of the topology.
    """
    wanted = scenario.replay
    if wanted is None:
        return None
    inventory = topology.inventory
    mapping = Mapping(
        inventory,
        hosts=inventory.hosts.keys() - set(topology.detours),
        internal=wanted.internal,
        choices=wanted.choices,
        seed=scenario.seed,
        taken=topology.addresses(),
        reserved=_used(scenario, inventory),
    )
    # Where a second of a capture takes less, so does its timeout.
    settings = Settings(
        internal=wanted.internal,
        timeout=round(config.timeout * wanted.speed),
        idle_timeout=round(config.idle_timeout * wanted.speed),
    )
    made = prepare(
        wanted.captures, mapping, settings, speed=wanted.speed, part=wanted.duration, until=until
    )
    if not (scenario.traffic or scenario.plants or _crosses(made, inventory)):
        raise UserError(
            f"{', '.join(wanted.captures)}: no packet crosses the border, where we look: say by"
            " internal prefixes which hosts are inside and which are not"
        )
    return made


def _crosses(replay: Prepared, inventory: Inventory) -> bool:
    """Tell whether any packet goes from inside to outside, or the other way."""
    inside = {name for name, host in inventory.hosts.items() if host.inside}
    return any((frame.host in inside) != (frame.to in inside) for frame in replay.frames)


def _used(scenario: Scenario, inventory: Inventory) -> Iterator[str]:
    """Yield the addresses that a scenario's programs use: hosts are deaf for those of a replay."""
    for server in scenario.servers:
        yield from inventory.ends(server.host)[0].addresses.values()
    for traffic in (*scenario.traffic, *scenario.plants):
        for selector in traffic.clients + traffic.servers:
            for end in inventory.ends(selector):
                yield from end.addresses.values()


def scenario_of(
    wanted: Replay, *, topology: str, seed: int, pipeline: Pipeline, timeout: int
) -> Scenario:
    """Return the scenario of a replay and nothing else, long enough for all of it.

    Args:
        wanted: which captures, and how.
        topology: where.
        seed: by which hosts are drawn.
        pipeline: how the switch finds candidates.
        timeout: ns of the captures' time until a flow is unanswered.

    Raises:
        UserError: a capture cannot be read or is damaged, or it takes too long, or is too fast.
    """
    live = round(timeout / wanted.speed)
    if live < _LEAST_TIMEOUT:
        raise UserError(
            f"--speed {wanted.speed:g}: leaves flows {live / 10**6:g} ms for an answer, and less"
            f" than {_LEAST_TIMEOUT // 10**6} ms cannot be told from a busy machine's delays"
        )
    if "-" in wanted.captures:
        raise UserError("-: a capture is read more than once: give a file")
    needs = needed(wanted.captures, wanted.speed, wanted.duration) + patience(live)
    seconds = max(_LEAST_SECONDS, ceil(needs / SECOND) + 1)
    if seconds > _MOST_SECONDS:
        raise UserError(
            f"{', '.join(wanted.captures)}: takes {seconds} s, and no run is longer than"
            f" {_MOST_SECONDS} s: give --speed or --seconds"
        )
    idle = round(Settings().idle_timeout / wanted.speed)
    return Scenario(
        title=f"Replay of {', '.join(Path(name).name for name in wanted.captures)}"[:90],
        topology=topology,
        seconds=seconds,
        seed=seed,
        pipeline=pipeline,
        config={"timeout": duration_text(live), "idle_timeout": duration_text(idle)},
        # So that the scenario can be run again from anywhere.
        replay=wanted.model_copy(
            update={"captures": tuple(str(Path(name).resolve()) for name in wanted.captures)}
        ),
    )


def words(replay: Prepared) -> Iterator[str]:
    """Yield lines that say what is sent, and what is not."""
    yield (
        f"sending {len(replay.frames)} packets of {len(replay.mapping.new)} addresses"
        f" from {', '.join(replay.hosts)}"
    )
    if replay.left_out:
        causes = ", ".join(f"{count} {cause}" for cause, count in replay.left_out.most_common())
        yield f"left out: {replay.left_out.total()} packets ({causes})"
    for network in sorted(map(str, replay.mapping.unused)):
        yield f"map: {network}: no such address in the captures"
    if replay.late > _LATE:
        yield (
            f"up to {replay.late / SECOND:.1f} s later than in the captures: no more than"
            f" {PACKETS_PER_SECOND} packets a second, and no answer within"
            f" {ARRIVES // 10**6} ms of what it answers"
        )
