"""What differs between the running configuration and a new one, and what it takes to follow.

Pure: nothing is changed here. A key whose field says ``reload: live`` can change while the
controller runs; any other difference is an error that names the key.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from chamaleonet.config import LIVE, Section, datapath_text
from chamaleonet.errors import UserError
from chamaleonet.switch.pipeline import Change
from chamaleonet.switch.probe import pipeline_of
from chamaleonet.switch.rules import rule_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from chamaleonet.config import Config, Switch
    from chamaleonet.switch.rules import Rule

# What the packet logger alone reads: it follows at its own next start.
_LOGGERS = ("logger.", "metrics.logger")
_SHARED = ("logger.healthy",)


class Difference(NamedTuple):
    """One key that differs."""

    key: str
    old: Any
    new: Any
    live: bool

    def __str__(self) -> str:
        return f"{self.key}: {_text(self.old)} -> {_text(self.new)}"


@dataclass(frozen=True)
class Plan:
    """What is to be done.

    Attributes:
        settings: the keys that differ, those of single switches included.
        added: switches that are new.
        removed: switches that are watched no more; their rules stay, so that traffic goes on.
        changed: the others that differ: (as it is to be, the rules to delete and to add).
    """

    settings: tuple[Difference, ...]
    added: tuple[Switch, ...]
    removed: tuple[Switch, ...]
    changed: tuple[tuple[Switch, tuple[Change, ...]], ...]
    added_rules: tuple[tuple[Switch, tuple[Change, ...]], ...]

    def __bool__(self) -> bool:
        return bool(self.settings or self.added or self.removed)

    def lines(self) -> Iterator[str]:
        """Yield the plan as text, rules in the syntax of ovs-ofctl(8)."""
        yield from map(str, self.settings)
        for switch in self.removed:
            yield f"# {_title(switch)}: watched no more, its rules stay"
        for switch, changes in (*self.changed, *self.added_rules):
            if changes:
                yield f"# {_title(switch)}"
                for change in changes:
                    yield f"{'+' if change.add else '-'} {rule_text(change.rule)}"

    def summary(self) -> str:
        """Return the plan as one line."""
        changes = [change for _, changes in self.changed for change in changes]
        parts = [
            *map(str, self.settings),
            *(f"{switch.name} added" for switch in self.added),
            *(f"{switch.name} removed" for switch in self.removed),
        ]
        if changes:
            added = sum(change.add for change in changes)
            parts.append(f"{added} rules added or replaced, {len(changes) - added} deleted")
        return "; ".join(parts) or "nothing differs"


def compare(old: Config, new: Config) -> Plan:
    """Return what it takes to get from one configuration to another.

    Raises:
        UserError: a key differs that cannot change while the controller runs; the message names
            all such keys.
    """
    before = {switch.dp_id: switch for switch in old.switches}
    after = {switch.dp_id: switch for switch in new.switches}
    settings = list(_differences(old, new))
    for dp_id in before.keys() & after.keys():
        settings += _differences(before[dp_id], after[dp_id], f"switches[{after[dp_id].name}].")
    if not after:
        raise UserError("switches: none is configured")
    if any(switch.candidates.detectors for switch in before.values()):
        # Processes of their own judge there.
        settings = [each._replace(live=each.live and each.key != "timeout") for each in settings]
    if fixed := [each.key for each in settings if not each.live]:
        raise UserError(f"needs a restart of the controller: {', '.join(fixed)}")
    return Plan(
        settings=tuple(settings),
        added=tuple(switch for dp_id, switch in after.items() if dp_id not in before),
        removed=tuple(switch for dp_id, switch in before.items() if dp_id not in after),
        changed=tuple(
            (switch, tuple(_rule_changes(_static(old, before[dp_id]), _static(new, switch))))
            for dp_id, switch in after.items()
            if dp_id in before and before[dp_id] != switch
        ),
        added_rules=tuple(
            (switch, tuple(_rule_changes((), _static(new, switch))))
            for dp_id, switch in after.items()
            if dp_id not in before
        ),
    )


def _static(config: Config, switch: Switch) -> Iterable[Rule]:
    return pipeline_of(config, switch).static_rules()


def _rule_changes(old: Iterable[Rule], new: Iterable[Rule]) -> Iterator[Change]:
    """Yield the fewest changes: additions first, so that no packet finds neither rule."""
    before = {rule.place: rule for rule in old}
    for rule in new:
        if before.pop(rule.place, None) != rule:
            yield Change(rule)
    for rule in before.values():
        yield Change(rule, add=False)


def _differences(old: Section, new: Section, at: str = "") -> Iterator[Difference]:
    for name, field in type(old).model_fields.items():
        key, is_, is_to_be = f"{at}{name}", getattr(old, name), getattr(new, name)
        if is_ == is_to_be or key == "switches":
            continue
        if field.json_schema_extra == LIVE:
            yield Difference(key, is_, is_to_be, live=True)
        elif isinstance(is_, Section) and isinstance(is_to_be, Section):
            yield from _differences(is_, is_to_be, f"{key}.")
        elif key in _SHARED or not key.startswith(_LOGGERS):
            yield Difference(key, is_, is_to_be, live=False)


def _title(switch: Switch) -> str:
    return f"{switch.name}, datapath {datapath_text(switch.dp_id)}"


def _text(value: Any) -> str:
    return str(value.model_dump(mode="json")) if isinstance(value, Section) else str(value)
