"""``chamaleonet check``: what a configuration means, and which rules it would install."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chamaleonet import config as configuration
from chamaleonet.switch.meters import meters_of
from chamaleonet.switch.probe import pipeline_of
from chamaleonet.switch.rules import rule_text

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from chamaleonet.config import Config, Switch


def check(path: Path, *, rules: bool = False) -> str:
    """Return the effective configuration, and the rules of every switch if asked for.

    The rules are lines that ``ovs-ofctl --protocols=OpenFlow13 add-flows`` takes as they are.

    Raises:
        UserError: the configuration is wrong.
    """
    config = configuration.load(path)
    if not rules:
        return configuration.dump(config)
    return "\n".join(line for switch in config.switches for line in switch_rules(config, switch))


def switch_rules(config: Config, switch: Switch) -> Iterator[str]:
    """Yield a switch's static rules as text, after comments that name the switch and its meters."""
    yield f"# {switch.name}, datapath {configuration.datapath_text(switch.dp_id)}"
    yield from (f"# add-meter {meter}" for meter in meters_of(switch))
    yield from map(rule_text, pipeline_of(config, switch).static_rules())
