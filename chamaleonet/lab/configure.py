"""The configuration of controller and logger for a scenario."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from chamaleonet.config import Config
from chamaleonet.errors import UserError
from chamaleonet.lab.programs import keys

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from chamaleonet.lab.scenario import Scenario
    from chamaleonet.lab.topology import Topology

_MAX_FLOWS = 100_000  # more than any scenario has; a million cost memory and time at each start


def configured(scenario: Scenario, topology: Topology, directory: Path, private: Path) -> Config:
    """Return a scenario's configuration: the lab's own, with the scenario's keys over it.

    Args:
        scenario: has ``config`` and ``switch``, the keys of each switch.
        topology: what is to be watched.
        directory: of the run.
        private: for sockets.

    Raises:
        UserError: a key of the scenario's is not allowed.
    """
    own = keys(topology.probes, scenario.pipeline, directory, private)
    own |= {"internal": topology.internal, "max_flows": _MAX_FLOWS}
    own["switches"] = [
        merged(switch | {"forward": topology.forward}, scenario.switch)
        for switch in own["switches"]
    ]
    try:
        return Config.model_validate(merged(own, scenario.config))
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        raise UserError(f"config: {key}: {first['msg'].removeprefix('Value error, ')}") from None


def merged(tree: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Return a tree of keys with those of another over them."""
    both = dict(tree)
    for key, value in over.items():
        inner = both.get(key)
        if isinstance(inner, dict) and isinstance(value, dict):
            value = merged(inner, value)
        both[key] = value
    return both
