"""`chamaleonet replay`: judge capture files."""

from __future__ import annotations

import signal
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chamaleonet.commands.arguments import add_settings, settings_of
from chamaleonet.errors import UserError

if TYPE_CHECKING:
    import argparse

    from chamaleonet.flows.engine import Settings


def add(commands: Any) -> None:
    """Add the command's parser."""
    parser = commands.add_parser(
        "replay",
        help="judge capture files",
        description="Judges the flows of pcap or pcapng files (plain, gzip, zstd, xz), which are"
        " one stream in the order given.",
    )
    parser.add_argument("files", nargs="+", metavar="FILE", help="capture; - is standard input")
    add_settings(parser)
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
    parser.add_argument(
        "--anonymise", choices=("internal", "all"),
        help="replace addresses by Crypto-PAn in all that is written or printed",
    )  # fmt: skip
    parser.add_argument("--key", type=Path, metavar="FILE", help="for --anonymise; see keygen")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the command; return the exit status."""
    from chamaleonet.capture.files import open_capture

    if options.all_flows and not options.flows:
        raise UserError("--all-flows: says what --flows writes, which is missing")
    if bool(options.anonymise) != bool(options.key):
        raise UserError("--anonymise and --key go together")
    if options.files.count("-") > 1:
        raise UserError("-: standard input can be read only once")
    settings = settings_of(options)
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
    from chamaleonet.flows.visibility import one_way
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
    replay = Replay(engine)
    anonymiser = _anonymiser(options, settings)
    if options.write:
        from chamaleonet.log.pcapng import open_pcapng

        packets = open_pcapng(options.write)
        stack.callback(packets.close)
        replay.packet_sinks.append(anonymiser.packet_sink(packets) if anonymiser else packets)
    if options.flows:
        from chamaleonet.log.flowlog import open_flow_log

        flows = open_flow_log(options.flows)
        stack.callback(flows.close)
        replay.flow_sinks.append(anonymiser.flow_sink(flows) if anonymiser else flows)
    # A thread that comes out of a kernel waits for the others' Python at most so long (seconds).
    sys.setswitchinterval(1e-4)
    caught: list[int] = []

    def stop(number: int, _frame: object) -> None:
        caught.append(number)
        replay.stop()

    for number in (signal.SIGINT, signal.SIGTERM):
        stack.callback(signal.signal, number, signal.signal(number, stop))
    if options.json:
        replay.run(captures)
    else:
        top = _run_for_people(replay, captures, settings, anonymiser)
    stack.close()  # the outputs are complete before anything is said
    for name in replay.truncated:
        print(f"chamaleonet: warning: {name}: ends inside a record", file=sys.stderr)
    suspect = [direction.label for direction in one_way(engine.sights)]
    for name in suspect:
        print(
            f"chamaleonet: warning: {name}: many clients ask and nobody is answered, as if replies"
            " were not in the capture (docs/visibility.md)",
            file=sys.stderr,
        )
    if options.json:
        import json

        more = {"truncated_file": bool(replay.truncated), "suspect": suspect}
        print(json.dumps(engine.summary() | more))
    else:
        _print_for_people(replay, top)
    return 128 + caught[0] if caught else 0


def _anonymiser(options: argparse.Namespace, settings: Settings) -> Any:
    """Return what replaces addresses, None where they stay as they are."""
    if not options.anonymise:
        return None
    from chamaleonet.log.anonymise.anonymiser import Anonymiser
    from chamaleonet.log.anonymise.keyfile import read_key

    return Anonymiser(
        read_key(options.key), addresses=options.anonymise, internal=settings.internal
    )


def _run_for_people(replay: Any, captures: list[Any], settings: Settings, anonymiser: Any) -> Any:
    from chamaleonet.analysis.top import Top
    from chamaleonet.kernels import images
    from chamaleonet.terminal import ReplayProgress

    if sys.stderr.isatty() and images.are_missing():
        print("compiling for this machine, once: a quarter of a minute", file=sys.stderr)
    top = Top(settings.capture)
    replay.flow_sinks.append(anonymiser.flow_sink(top) if anonymiser else top)
    with ReplayProgress(captures, replay.engine) as replay.on_progress:
        replay.run(captures)
    return top


def _print_for_people(replay: Any, top: Any) -> None:
    from chamaleonet.terminal import print_summary

    print_summary(replay.engine.summary(), top)
