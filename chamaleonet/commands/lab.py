"""`chamaleonet lab`: scenarios with planted failures on a real switch."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from chamaleonet.commands.arguments import argument

if TYPE_CHECKING:
    import argparse


def add(commands: Any) -> None:
    """Add the command's parser."""
    parser = commands.add_parser(
        "lab",
        help="scenarios with planted failures on a real switch",
        description="Plays scenarios in a network of namespaces on Open vSwitch, and judges"
        " whether each planted failure is found, and nothing else.",
    )
    actions = parser.add_subparsers(required=True, metavar="ACTION")
    listing = actions.add_parser("list", help="the scenarios, the quickest first")
    listing.set_defaults(run=list_scenarios)
    running = actions.add_parser(
        "run",
        help="run a scenario",
        description="Builds the scenario's network, runs controller, logger and traffic, and"
        " compares what was found with what was planted. Needs root. The exit status is 1 if they"
        " differ.",
    )
    running.add_argument("scenario", metavar="SCENARIO", help="a name from the list, or a file")
    running.add_argument(
        "-o", "--output", type=Path, metavar="DIR", required=True,
        help="where everything is written: a new or empty directory",
    )  # fmt: skip
    running.add_argument(
        "--seed",
        type=int,
        metavar="N",
        help="the same one draws the same (default: the scenario's)",
    )
    running.add_argument(
        "--pipeline", choices=("conntrack", "reactive"), help="(default: the scenario's)"
    )
    running.set_defaults(run=run)
    _add_replay(actions)


def _add_replay(actions: Any) -> None:
    from chamaleonet.lab.mapping import choice
    from chamaleonet.units import duration, network

    parser = actions.add_parser(
        "replay",
        help="replay captures in a topology",
        description="Gives the addresses of captures to hosts of a topology, which send the"
        " packets at their times, and compares what was found live with what is found offline."
        " Needs root. The exit status is 1 if they differ.",
    )
    parser.add_argument(
        "captures", nargs="+", metavar="CAPTURE", help="files, which are one stream in this order"
    )
    parser.add_argument(
        "--topology", required=True, metavar="NAME|FILE", help="one of the lab's, or a file's"
    )
    parser.add_argument(
        "-o", "--output", type=Path, metavar="DIR", required=True,
        help="where everything is written: a new or empty directory",
    )  # fmt: skip
    parser.add_argument(
        "--map", action="append", default=[], type=argument(choice), metavar="CIDR=SELECTOR",
        help="these addresses get the addresses of this host or selector (such as www:0-9); may be"
        " repeated, the first that fits holds",
    )  # fmt: skip
    parser.add_argument(
        "--internal", action="append", type=argument(network), metavar="CIDR",
        help="prefix of hosts inside in the captures, may be repeated"
        " (default: the private prefixes of RFC 1918 and RFC 4193)",
    )  # fmt: skip
    parser.add_argument(
        "--speed", type=argument(_speed), default=1.0, metavar="N",
        help="send so many times faster; timeouts are as much shorter",
    )  # fmt: skip
    parser.add_argument(
        "--seconds", type=argument(_seconds), metavar="N",
        help="so much of the captures, by their own time (default: all)",
    )  # fmt: skip
    parser.add_argument(
        "--timeout", type=argument(duration), default=duration("3s"),
        help="without an answer for so long, by the captures' time, a flow is unanswered"
        " (default: 3s)",
    )  # fmt: skip
    parser.add_argument(
        "--seed", type=int, default=1, metavar="N", help="the same one draws the same hosts"
    )
    parser.add_argument("--pipeline", choices=("conntrack", "reactive"), default="conntrack")
    parser.set_defaults(run=replay)


def _speed(text: str) -> float:
    if not 0.01 <= (speed := float(text)) <= 1000:
        raise ValueError(f"{text} is not from 0.01 to 1000")
    return speed


def _seconds(text: str) -> int:
    from chamaleonet.units import duration

    return duration(f"{text}s")


def list_scenarios(_options: argparse.Namespace) -> int:
    """Run the command; return the exit status."""
    from chamaleonet.lab import scenario

    chosen = {name: scenario.load(name) for name in scenario.names()}
    width = max(map(len, chosen))
    for name, each in chosen.items():
        print(f"{name:{width}}  {each.seconds:4} s  {each.title}")
    return 0


def run(options: argparse.Namespace) -> int:
    """Run the command; return the exit status."""
    from chamaleonet.lab.run import run

    return run(options.scenario, options.output, options.seed, options.pipeline)


def replay(options: argparse.Namespace) -> int:
    """Run the command; return the exit status."""
    from chamaleonet.lab import machine
    from chamaleonet.lab.replaying import scenario_of
    from chamaleonet.lab.run import PROGRAMS, run_scenario
    from chamaleonet.lab.scenario import Replay
    from chamaleonet.units import PRIVATE, duration_text

    machine.check("lab", PROGRAMS)  # before captures are read, which takes its time
    chosen: dict[str, str] = {}
    for each in options.map:
        chosen.setdefault(str(each.network), each.selector)
    wanted = Replay(
        captures=tuple(options.captures),
        map=chosen,
        internal=tuple(options.internal or PRIVATE),
        speed=options.speed,
        duration=options.seconds and duration_text(options.seconds),
    )
    scenario = scenario_of(
        wanted, topology=options.topology, seed=options.seed, pipeline=options.pipeline,
        timeout=options.timeout,
    )  # fmt: skip
    return run_scenario("replay", scenario, options.output)
