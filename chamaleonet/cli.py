"""The command line. It imports a command's modules only when that command runs."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from contextlib import ExitStack
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chamaleonet import __version__
from chamaleonet.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import NoReturn

    from chamaleonet.flows.engine import Settings

_USER_ERROR = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status: 0, or 2 for what the user can mend."""
    # NumPy's linear algebra, which nothing here uses, would start threads that busy-wait.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    try:
        options = _parser().parse_args(arguments)
        status: int = options.run(options)
        sys.stdout.flush()
    except UserError as error:
        print(f"chamaleonet: {error}", file=sys.stderr)
        return _USER_ERROR
    except BrokenPipeError:  # the reader of our output has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    return status


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Say in one line what is wrong, like every other mistake."""
        raise UserError(f"{message} (see {self.prog} --help)")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="chamaleonet",
        description="Finds erroneous traffic: flows that get no reply, and ICMP errors.",
    )
    parser.add_argument("--version", action="version", version=f"chamaleonet {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for add in (_add_replay, _add_run, _add_log, _add_check, _add_demo):
        add(commands)
    return parser


def _argument(convert: Callable[[str], Any]) -> Callable[[str], Any]:
    """Let argparse show a converter's own words."""

    def checked(text: str) -> Any:
        try:
            return convert(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return checked


def _positive(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or not 0 < int(text) <= 1 << 27:
        raise ValueError(f"{text!r} is not a number from 1 to {1 << 27}")
    return int(text)


def _add_replay(commands: Any) -> None:
    from chamaleonet.units import duration, network

    parser = commands.add_parser(
        "replay",
        help="judge capture files",
        description="Judges the flows of pcap or pcapng files (plain, gzip, zstd, xz), which are"
        " one stream in the order given.",
    )
    parser.add_argument("files", nargs="+", metavar="FILE", help="capture; - is standard input")
    parser.add_argument(
        "--internal", action="append", type=_argument(network), metavar="CIDR",
        help="prefix of the network's own hosts, may be repeated"
        " (default: the private prefixes of RFC 1918 and RFC 4193)",
    )  # fmt: skip
    parser.add_argument(
        "--timeout", type=_argument(duration),
        help="without an answer for so long, a flow is unanswered (default: 3s)",
    )  # fmt: skip
    parser.add_argument(
        "--idle-timeout", type=_argument(duration),
        help="without a packet for so long, a flow is forgotten (default: 180s)",
    )  # fmt: skip
    parser.add_argument(
        "--max-flows", type=_argument(_positive), metavar="N",
        help="flows that the flow table holds (default: 1000000)",
    )  # fmt: skip
    parser.add_argument("--config", type=Path, metavar="FILE", help="configuration (YAML)")
    parser.add_argument("--json", action="store_true", help="print the summary as JSON alone")
    parser.add_argument(
        "--write", type=Path, metavar="FILE.pcapng", help="write the captured packets' headers"
    )
    parser.add_argument(
        "--flows", type=Path, metavar="FILE.parquet|.jsonl", help="write the flows that failed"
    )
    parser.add_argument(
        "--all-flows", action="store_true", help="write every flow to --flows, healthy ones too"
    )
    parser.set_defaults(run=_replay)


def _settings(options: argparse.Namespace) -> Settings:
    """Return the configuration's settings, those of the command line before those of the file."""
    from chamaleonet.flows.engine import Settings

    settings = {}
    if options.config:
        from chamaleonet import config

        loaded = config.load(options.config)
        settings = {field.name: getattr(loaded, field.name) for field in fields(Settings)}
    for name in ("internal", "timeout", "idle_timeout", "max_flows"):
        if (value := getattr(options, name)) is not None:
            settings[name] = tuple(value) if name == "internal" else value
    chosen = Settings(**settings)
    if chosen.timeout >= chosen.idle_timeout:
        raise UserError("--timeout: must be shorter than --idle-timeout")
    return chosen


def _replay(options: argparse.Namespace) -> int:
    from chamaleonet.capture.files import open_capture

    if options.all_flows and not options.flows:
        raise UserError("--all-flows: says what --flows writes, which is missing")
    if options.files.count("-") > 1:
        raise UserError("-: standard input can be read only once")
    settings = _settings(options)
    with ExitStack() as stack:
        # All inputs are checked before any output is touched.
        captures = [stack.enter_context(open_capture(name)) for name in options.files]
        _refuse_overwriting(options)
        return _judge_captures(options, settings, captures, stack)


def _refuse_overwriting(options: argparse.Namespace) -> None:
    outputs = [path for path in (options.write, options.flows) if path]
    taken = [Path(name) for name in options.files if name != "-"]
    for flag, path in (("--write", options.write), ("--flows", options.flows)):
        others = taken + [other for other in outputs if other is not path]
        if path and path.is_file() and any(o.exists() and path.samefile(o) for o in others):
            raise UserError(f"{flag} {path}: this file is used for something else in this run")
    if options.write and options.write == options.flows:
        raise UserError(f"--flows {options.flows}: --write writes this file")


def _judge_captures(
    options: argparse.Namespace, settings: Settings, captures: list[Any], stack: ExitStack
) -> int:
    from chamaleonet.flows.engine import Engine
    from chamaleonet.flows.transitions import HEALTHY, VERDICTS
    from chamaleonet.replay import Replay

    unhealthy = tuple(state for state in VERDICTS if state not in HEALTHY)
    shown = VERDICTS if options.all_flows else unhealthy
    told = shown if options.flows else settings.capture if not options.json else ()
    try:
        engine = Engine(settings, ended=told, packets=bool(options.write))
    except MemoryError:
        raise UserError(
            f"--max-flows {settings.max_flows}: this machine's memory is too small"
        ) from None
    run = Replay(engine)
    if options.write:
        from chamaleonet.log.pcapng import open_pcapng

        packets = open_pcapng(options.write)
        stack.callback(packets.close)
        run.packet_sinks.append(packets)
    if options.flows:
        from chamaleonet.log.flowlog import open_flow_log

        flows = open_flow_log(options.flows)
        stack.callback(flows.close)
        run.flow_sinks.append(flows)
    # A thread that comes out of a kernel waits for the others' Python at most so long (seconds).
    sys.setswitchinterval(1e-4)
    caught: list[int] = []

    def stop(number: int, _frame: object) -> None:
        caught.append(number)
        run.stop()

    for number in (signal.SIGINT, signal.SIGTERM):
        stack.callback(signal.signal, number, signal.signal(number, stop))
    if options.json:
        run.run(captures)
    else:
        _run_for_people(run, captures, settings)
    stack.close()  # the outputs are complete before anything is said
    for name in run.truncated:
        print(f"chamaleonet: warning: {name}: ends inside a record", file=sys.stderr)
    if options.json:
        import json

        print(json.dumps(run.engine.summary() | {"truncated_file": bool(run.truncated)}))
    else:
        _print_for_people(run)
    return 128 + caught[0] if caught else 0


def _run_for_people(run: Any, captures: list[Any], settings: Settings) -> None:
    from chamaleonet.analysis.top import Top
    from chamaleonet.kernels import images
    from chamaleonet.terminal import ReplayProgress

    if sys.stderr.isatty() and images.are_missing():
        print("compiling for this machine, once: a quarter of a minute", file=sys.stderr)
    run.flow_sinks.append(Top(settings.capture))
    with ReplayProgress(captures, run.engine) as run.on_progress:
        run.run(captures)


def _print_for_people(run: Any) -> None:
    from chamaleonet.terminal import print_summary

    print_summary(run.engine.summary(), run.flow_sinks[-1])


def _add_run(commands: Any) -> None:
    parser = commands.add_parser(
        "run",
        help="watch switches",
        description="The controller: waits for OpenFlow 1.3 switches, judges their flows and"
        " redirects the erroneous ones to the packet logger. Ends on SIGTERM or SIGINT.",
    )
    parser.add_argument("--config", type=Path, required=True, metavar="FILE")
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    from chamaleonet.switch import launcher

    return launcher.run(options.config)


def _add_log(commands: Any) -> None:
    parser = commands.add_parser(
        "log",
        help="log erroneous packets and flows",
        description="The packet logger: reads the switch's logger port and the controller's"
        " verdicts, and writes the packets' headers and the flow log. Ends on SIGTERM or SIGINT.",
    )
    parser.add_argument("--config", type=Path, required=True, metavar="FILE")
    parser.set_defaults(run=_log)


def _log(options: argparse.Namespace) -> int:
    from chamaleonet import config
    from chamaleonet.log import logger

    logger.run(config.load(options.config))
    return 0


def _add_check(commands: Any) -> None:
    parser = commands.add_parser(
        "check",
        help="check a configuration",
        description="Prints the effective configuration, or what is wrong with the file.",
    )
    parser.add_argument("file", type=Path, nargs="?", metavar="FILE")
    parser.add_argument(
        "--rules", action="store_true", help="print the OpenFlow rules it would install"
    )
    parser.add_argument(
        "--schema", action="store_true", help="print the JSON Schema of the configuration file"
    )
    parser.set_defaults(run=_check)


def _check(options: argparse.Namespace) -> int:
    if options.schema:
        import json

        from chamaleonet import config

        print(json.dumps(config.json_schema(), indent=1))
        return 0
    if options.file is None:
        raise UserError("check: FILE is missing")
    from chamaleonet.check import check

    print(check(options.file, rules=options.rules).rstrip("\n"))
    return 0


def _add_demo(commands: Any) -> None:
    parser = commands.add_parser(
        "demo",
        help="a small campus on a real switch",
        description="Builds a small campus on Open vSwitch in network namespaces, runs controller"
        " and logger, lets ordinary tools make traffic and tells what was found. Needs root.",
    )
    parser.add_argument(
        "--seconds", type=_argument(_positive), default=30, help="how long (default: 30)"
    )
    parser.add_argument("--pipeline", choices=("conntrack", "reactive"), default="conntrack")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the result as JSON, too")
    parser.set_defaults(run=_demo)


def _demo(options: argparse.Namespace) -> int:
    from chamaleonet.demo.show import demo

    return demo(options.seconds, options.pipeline, options.json)
