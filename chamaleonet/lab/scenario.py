"""What a scenario is: a small YAML file that says what runs where, what fails, and its name.

A scenario has healthy traffic (mostly included from a file that several share), faults of the
network, and plants: traffic that must fail, with the verdict that its flows must get and the
finding that must name it. Commands are ordinary programs; they are run in a host's namespace
without a shell.

In commands and files these words are replaced: ``{client}`` and ``{server}``, addresses of the
step's IP version; ``{server_url}``, the same with brackets if it is IPv6; ``{family}``, 4 or 6;
``{port}``, a client port that no other step of the host has; ``{number}``, of the step, from 0;
``{seed}``; ``{address4}`` and ``{address6}``, the main addresses of the host where it runs;
``{directory}``, an empty directory of the host's own, with ``files`` in it; ``{python}``.
"""

from __future__ import annotations

import re
import shlex
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, get_args

import yaml
from pydantic import BeforeValidator, Field, ValidationError, model_validator

from chamaleonet import yamlfile
from chamaleonet.analysis.suppressions import FindingKind
from chamaleonet.analysis.tables import TABLES
from chamaleonet.config import Cidr, Config, Duration, Section, Switch
from chamaleonet.errors import UserError
from chamaleonet.flows.transitions import VERDICTS
from chamaleonet.lab.mapping import Choice, choice
from chamaleonet.units import PRIVATE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

HERE = Path(__file__).parent / "scenarios"
WORDS = (
    "client", "server", "server_url", "family", "port", "number", "seed", "address4", "address6",
    "directory", "python",
)  # fmt: skip
_WORD = re.compile(r"\{(\w+)\}")
SECOND = 10**9


def _texts(value: object) -> object:
    return [value] if isinstance(value, str) else value


def _command(text: object) -> str:
    command = str(text)
    if unknown := [word for word in _WORD.findall(command) if word not in WORDS]:
        raise ValueError(f"{{{unknown[0]}}} is none of {', '.join(WORDS)}")
    if not shlex.split(command):
        raise ValueError("no command")
    return command


def _one_of(known: Sequence[str], text: object) -> str:
    if text not in known:
        raise ValueError(f"{text!r} is none of {', '.join(known)}")
    return str(text)


def _keys(check: Callable[[dict[str, Any]], object], keys: object) -> object:
    """Return keys of the controller's configuration that are right by themselves."""
    if isinstance(keys, dict):
        try:
            check(keys)
        except ValidationError as error:
            first = error.errors()[0]
            at = ".".join(map(str, first["loc"]))
            raise ValueError(f"{at}: {first['msg'].removeprefix('Value error, ')}") from None
    return keys


def _check_config(keys: dict[str, Any]) -> None:
    if "switches" in keys:
        raise ValueError("switches are the topology's; keys of each of them belong under switch")
    Config.model_validate(keys)


def _check_switch(keys: dict[str, Any]) -> None:
    fixed = {"name": "s1", "dp_id": "1", "logger_port": 1}
    if taken := fixed.keys() & keys.keys():
        raise ValueError(f"{min(taken)} is the lab's own")
    pipeline = "reactive" if "reactive" in keys else "conntrack"
    Switch.model_validate({"pipeline": pipeline} | fixed | keys)


Pipeline = Literal["conntrack", "reactive"]
Texts = Annotated[tuple[str, ...], BeforeValidator(_texts)]
Command = Annotated[str, BeforeValidator(_command)]
Service = Annotated[str, Field(pattern=r"^((tcp|udp)/\d{1,5}|icmp|icmpv6)$")]
Listening = Annotated[str, Field(pattern=r"^(tcp|udp)/\d{1,5}$")]
Verdict = Annotated[str, BeforeValidator(partial(_one_of, [state.label for state in VERDICTS]))]
NAMERS = (*get_args(FindingKind), *(f"table {name}" for name in TABLES))
Namer = Annotated[str, BeforeValidator(partial(_one_of, NAMERS))]


def filled(text: str, words: Mapping[str, str]) -> str:
    """Return a text with its ``{words}`` replaced; braces around anything else stay."""
    return _WORD.sub(lambda match: words.get(match[1], match[0]), text)


class Server(Section):
    """A program that runs as long as the scenario."""

    host: str = Field(description="The host that it runs on.")
    run: Command = Field(description="Its command.")
    files: dict[str, str] = Field(default={}, description="Files in its directory, by name.")
    ready: Listening | None = Field(
        default=None, description="It is ready when it listens there, on any of its addresses."
    )


class Traffic(Section):
    """A command that clients run again and again, or once and on."""

    name: str = Field(description="What it is.", pattern=r"^[a-z0-9-]+$")
    clients: Texts = Field(min_length=1, description="Who runs it: selectors.")
    servers: Texts = Field(default=(), description="Whom it asks: selectors, one at a time.")
    family: Literal["4", "6", "both"] = Field(
        default="both", description="IP version; `both` takes turns."
    )
    run: Command = Field(description="The command.")
    files: dict[str, str] = Field(default={}, description="Files in its directory, by name.")
    every: Duration | None = Field(
        default=None,
        description="One of the clients runs it so often; empty: each of them runs it once.",
    )
    turns: bool = Field(
        default=False, description="Clients and servers take turns; else they are drawn."
    )
    jitter: float = Field(
        default=0, ge=0, le=1, description="Share of `every` by which each start is later at most."
    )
    start: Duration | None = Field(default=None, description="When it begins; empty: at once.")
    stop: Duration | None = Field(
        default=None,
        description="When it begins no more, or is ended if it goes on; empty: in time for the"
        " last verdict.",
    )


class Match(Section):
    """Which flows of the trace are meant: all that is given must be true."""

    clients: Texts = Field(default=(), description="Selectors or networks; empty: any.")
    servers: Texts = Field(default=(), description="Selectors or networks; empty: any.")
    services: Annotated[tuple[Service, ...], BeforeValidator(_texts)] = Field(
        default=(), description="Protocol and server port, as tcp/80; empty: any."
    )


class Plant(Traffic):
    """Traffic that must fail, and what must be said of it."""

    match: Match = Field(
        default=Match(),
        description="Its flows; what is empty here is as `clients` and `servers` are.",
    )
    verdicts: Annotated[tuple[Verdict, ...], BeforeValidator(_texts)] = Field(
        min_length=1, description="Each of its failing flows must get one of these."
    )
    least: int = Field(ge=1, description="So many flows fail at least, or it did not happen.")
    named_by: Annotated[tuple[Namer, ...], BeforeValidator(_texts)] = Field(
        min_length=1, description="Findings, or tables of the report, that name it; one of them."
    )


class Fault(Section):
    """What a router does to packets that it should forward, or a host to those it should take."""

    at: str = Field(description="The router or host.")
    action: Literal["drop", "reject", "reset"] = Field(
        description="Say nothing, an ICMP error (administratively prohibited), or a TCP reset."
    )
    to: Texts = Field(min_length=1, description="Destinations: selectors or networks.")
    service: Service | None = Field(default=None, description="Of this service only.")
    start: Duration | None = Field(default=None, description="From then on; empty: always.")
    stop: Duration | None = Field(default=None, description="Until then; empty: to the end.")

    @model_validator(mode="after")
    def _has_resets(self) -> Self:
        if self.action == "reset" and self.service and not self.service.startswith("tcp/"):
            raise ValueError(f"{self.service}: only TCP can be reset")
        if self.stop is not None and self.stop <= (self.start or 0):
            raise ValueError("stop must be later than start")
        return self


class Replay(Section):
    """Captures whose packets hosts of the topology send, with the hosts' addresses."""

    captures: Texts = Field(
        min_length=1, description="Files, one stream in this order; as seen from where one is."
    )
    map: dict[str, str] = Field(
        default={},
        description="Networks or addresses of the captures, and selectors: whose addresses these"
        " get. The first that holds an address is meant.",
    )
    internal: tuple[Cidr, ...] = Field(
        default=PRIVATE, description="What is inside in the captures; the rest of it goes outside."
    )
    speed: float = Field(default=1, ge=0.01, le=1000, description="How many times faster.")
    duration: Duration | None = Field(
        default=None, description="So much of the captures, by their own time; empty: all."
    )

    @property
    def choices(self) -> tuple[Choice, ...]:
        """What ``map`` says.

        Raises:
            ValueError: a key of it is no network.
        """
        return tuple(choice(f"{network}={selector}") for network, selector in self.map.items())

    @model_validator(mode="after")
    def _maps_networks(self) -> Self:
        _ = self.choices
        return self


class Part(Section):
    """What a scenario may include: another scenario, or a file of what several share."""

    include: Texts = Field(
        default=(), description="Scenarios, or other files, that this one is made of, too."
    )
    servers: tuple[Server, ...] = Field(default=(), description="Programs that go on.")
    traffic: tuple[Traffic, ...] = Field(default=(), description="Healthy traffic.")
    indicators: Texts = Field(
        default=(), description="Addresses and networks on the report's block list."
    )
    faults: tuple[Fault, ...] = Field(default=(), description="What the network does wrong.")
    plants: tuple[Plant, ...] = Field(default=(), description="What must be found.")


_PARTS = tuple(name for name in Part.model_fields if name != "include")


class Scenario(Part):
    """A scenario."""

    title: str = Field(min_length=1, max_length=90, description="One line about it.")
    literature: str = Field(default="", description="Work on failures of that kind.")
    topology: str = Field(description="A topology's name, or a file of Mininet topologies.")
    seconds: int = Field(ge=5, le=3600, description="How long traffic goes on.")
    seed: int = Field(default=1, ge=0, description="What is drawn is drawn by it.")
    config: Annotated[dict[str, Any], BeforeValidator(partial(_keys, _check_config))] = Field(
        default={}, description="Keys of the controller's configuration, over the lab's own."
    )
    switch: Annotated[dict[str, Any], BeforeValidator(partial(_keys, _check_switch))] = Field(
        default={}, description="Keys of each of `switches` in it, likewise."
    )
    pipeline: Pipeline = Field(default="conntrack", description="How the switch finds candidates.")
    replay: Replay | None = Field(default=None, description="Captures to be sent; empty: none.")

    @model_validator(mode="after")
    def _names(self) -> Self:
        if twice := _twice(self):
            raise ValueError(f"{twice}: two have this name")
        return self


class _Included(Scenario):
    """A part, and what counts for nothing where it is a scenario by itself."""

    title: str = ""
    topology: str = ""
    seconds: int = 0


def _twice(scenario: Scenario) -> str | None:
    """Return a name that two traffics have, if there is one."""
    names = [each.name for each in (*scenario.traffic, *scenario.plants)]
    return next((name for name in names if names.count(name) > 1), None)


def programs(scenario: Scenario) -> Iterator[str]:
    """Yield what its commands begin with, but for what is filled in."""
    traffic = (*scenario.traffic, *scenario.plants)
    for run in [each.run for each in scenario.servers] + [each.run for each in traffic]:
        program = shlex.split(run)[0]
        if not program.startswith("{"):
            yield program


def dump(scenario: Scenario) -> str:
    """Return a scenario as YAML that says the same: includes merged, defaults left out."""
    tree = scenario.model_dump(mode="json", exclude_defaults=True, exclude={"include"})
    own_first = sorted(tree, key=lambda key: key in Part.model_fields)
    text: str = yaml.safe_dump({key: tree[key] for key in own_first}, sort_keys=False, width=100)
    return text


def names() -> list[str]:
    """Return the names of the scenarios that come with the package, the quickest first."""
    found = sorted(path.stem for path in HERE.glob("*.yaml"))
    return sorted(found, key=lambda name: load(name).seconds)


def load(name: str) -> Scenario:
    """Read a scenario.

    Args:
        name: of one that comes with the package, or a file.

    Raises:
        UserError: there is none, or it says something that is not allowed.
    """
    path = HERE / f"{name}.yaml"
    if "/" in name or name.endswith(".yaml"):
        path = Path(name)
    elif not path.is_file():
        known = ", ".join(sorted(each.stem for each in HERE.glob("*.yaml")))
        raise UserError(f"{name}: no such scenario (there are: {known}; or give a file)")
    scenario = yamlfile.read(path, Scenario)
    parts = [*_included(path, scenario, {path.resolve()}), scenario]
    merged = {
        name: tuple(chain.from_iterable(getattr(part, name) for part in parts)) for name in _PARTS
    }
    scenario = scenario.model_copy(update=merged)
    if twice := _twice(scenario):
        raise UserError(f"{path}: {twice}: two have this name")
    if ".py" in scenario.topology:
        beside = str(path.parent.absolute() / scenario.topology)
        scenario = scenario.model_copy(update={"topology": beside})
    return scenario


def _included(path: Path, part: Part, seen: set[Path]) -> Iterator[Part]:
    """Yield what a file includes, each file once, what it includes itself before it."""
    for name in part.include:
        beside = path.parent / f"{name}.yaml"
        its = beside if beside.is_file() else HERE / f"{name}.yaml"
        if its.resolve() not in seen:
            seen.add(its.resolve())
            included = yamlfile.read(its, _Included)
            yield from _included(its, included, seen)
            yield included
