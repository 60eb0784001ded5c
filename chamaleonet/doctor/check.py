"""What a check is, what it looks at, and what it says."""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, NamedTuple

from chamaleonet.config import datapath_text

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from chamaleonet.config import Config, Switch
    from chamaleonet.doctor.machine import Answer, Machine, Text


class Verdict(Enum):
    """How a check came out."""

    OK = "ok"
    WARN = "warn"  # it works, but not as well as it could, or not for ever
    FAIL = "fail"  # it does not work
    SKIPPED = "skipped"  # it cannot be told, and why


class Result(NamedTuple):
    """What a check says.

    Attributes:
        verdict: how it came out.
        found: what there is, one line.
        todo: what to do about it: a command where there is one; empty where there is nothing.
    """

    verdict: Verdict
    found: str
    todo: str = ""


def ok(found: str) -> Result:
    """Return that all is well."""
    return Result(Verdict.OK, found)


def warn(found: str, todo: str) -> Result:
    """Return that it could be better."""
    return Result(Verdict.WARN, found, todo)


def fail(found: str, todo: str) -> Result:
    """Return that it does not work."""
    return Result(Verdict.FAIL, found, todo)


class Skip(Exception):  # noqa: N818  (it is no error)
    """A check cannot be made.

    Args:
        why: the reason, one line.
        todo: what would let it be made.
    """

    def __init__(self, why: str, todo: str = "") -> None:
        super().__init__(why)
        self.result = Result(Verdict.SKIPPED, why, todo)


class Check(NamedTuple):
    """One check.

    Attributes:
        name: a word or two.
        of: ``machine``, or ``switch`` where it is made for each switch of the configuration.
        meaning: what must be so, and why: a sentence for the documentation.
        run: makes it; may raise Skip.
    """

    name: str
    of: str
    meaning: str
    run: Callable[[Context], Result]


Row = dict[str, Any]


@dataclass
class Context:
    """What a check looks at.

    Attributes:
        machine: the machine.
        config: the configuration.
        file: where it was read, None for the defaults.
        seconds: how long traffic is watched.
        switch: of the configuration; None in checks of the machine.
        offset: of the clock at the beginning, as in Machine.clock_offset.
    """

    machine: Machine
    config: Config
    file: Path | None = None
    seconds: float = 3.0
    switch_or_none: Switch | None = None
    offset: int = 0

    @property
    def switch(self) -> Switch:
        """The switch that a check is about."""
        assert self.switch_or_none is not None
        return self.switch_or_none

    @property
    def name_of_file(self) -> str:
        """The configuration's name, for commands."""
        return "FILE" if self.file is None else str(self.file)

    @property
    def is_here(self) -> bool:
        """Whether the switch must be an Open vSwitch on this machine."""
        return self.switch.pipeline == "conntrack" or self.switch.candidates.interface is not None

    def ask(self, *command: str | Text) -> str:
        """Return what a command of Open vSwitch prints.

        Raises:
            Skip: it cannot be asked.
        """
        answer = self.machine.run(*command)
        if answer.status == 0:
            return answer.out
        raise Skip(*_why(answer, str(command[0])))

    def ofctl(self, *command: str | Text) -> str:
        """Return what ovs-ofctl prints, in OpenFlow 1.3 and with ports as numbers."""
        return self.ask("ovs-ofctl", "--protocols=OpenFlow13", "--no-names", *command)

    def rows(self, table: str) -> list[Row]:
        """Return a table of the switch's database, ovs-vswitchd.conf.db(5).

        Raises:
            Skip: it cannot be asked.
        """
        text = self.ask("ovs-vsctl", "--timeout=5", "--format=json", "list", table)
        return parse_rows(text)

    @functools.cached_property
    def bridge(self) -> Row:
        """The bridge with the switch's datapath id.

        Raises:
            Skip: there is none here.
        """
        for bridge in self.rows("bridge"):
            if bridge["datapath_id"] == datapath_text(self.switch.dp_id):
                return bridge
        raise Skip(f"no bridge here has datapath id {datapath_text(self.switch.dp_id)}")

    @property
    def bridge_name(self) -> str:
        """The bridge's name."""
        return str(self.bridge["name"])

    @functools.cached_property
    def ports(self) -> list[Row]:
        """The bridge's ports."""
        mine = members(self.bridge["ports"])
        return [port for port in self.rows("port") if port["_uuid"] in mine]

    @functools.cached_property
    def interfaces(self) -> list[Row]:
        """The interfaces of the bridge's ports."""
        mine = [each for port in self.ports for each in members(port["interfaces"])]
        return [each for each in self.rows("interface") if each["_uuid"] in mine]

    @property
    def datapath(self) -> str:
        """The datapath's name, as ovs-appctl(8) takes it."""
        kind = self.bridge["datapath_type"] or "system"
        return f"{kind}@ovs-{kind}"

    @property
    def is_userspace(self) -> bool:
        """Whether the datapath is in user space."""
        return bool(self.bridge["datapath_type"] == "netdev")


def _why(answer: Answer, command: str) -> tuple[str, str]:
    if not answer.is_installed:
        return f"{command} is not installed", ""
    said = (answer.err.strip() or answer.out.strip() or f"{command} failed").splitlines()[-1]
    if "Permission denied" in said or "Operation not permitted" in said:
        return "only root may ask Open vSwitch", "run it with sudo"
    return said, ""


def parse_rows(text: str) -> list[Row]:
    """Return the rows that ``ovs-vsctl --format=json list`` prints, with plain values.

    Sets become lists, but one value stands for a set of one, and None for an empty one, as
    ovsdb-server(7) writes them; maps become dicts, references their UUIDs.
    """
    table = json.loads(text)
    return [
        dict(zip(table["headings"], map(_value, row), strict=True)) for row in table["data"]
    ]  # fmt: skip


def _value(value: Any) -> Any:
    match value:
        case ["set", []]:
            return None
        case ["set", list(values)]:
            return [_value(each) for each in values]
        case ["map", list(pairs)]:
            return {key: _value(each) for key, each in pairs}
        case ["uuid", str(uuid)]:
            return uuid
    return value


def members(value: Any) -> list[Any]:
    """Return a column's set as a list, however many are in it."""
    if value is None:
        return []
    return value if isinstance(value, list) else [value]
