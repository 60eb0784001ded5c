"""How many rules are in the switch while flows come, fail and go."""

from __future__ import annotations

import heapq
import re
import tempfile
import time
from collections import Counter
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, NamedTuple

from benchmarks.experiments.experiment import Chart, Column, Experiment, Row
from benchmarks.pipelines import PIPELINES
from benchmarks.segments import ACK, SYN, address, tcp_frame
from chamaleonet.switch.rules import Cookie, Kind
from mininet_tests.harness import Controller, Network

if TYPE_CHECKING:
    from collections.abc import Iterator

_SETUPS = {
    ("conntrack", ""): "",
    ("reactive", "flow"): ", reactive: {granularity: flow, idle_timeout: %(idle)s}",
    ("reactive", "service"): ", reactive: {granularity: service, idle_timeout: %(idle)s}",
}
_ROUND_TRIP, _PAUSE = 0.02, 0.2  # s
_SERVICES = 10  # inside

EXPERIMENT = Experiment(
    title="Rules in the switch over time",
    question="How many rules do healthy and failing flows cost the switch, and for how long?",
    method=(
        "New TCP flows begin at an even rate for as many seconds as `busy` says, then none. Of ten,"
        " four are outbound and answered, four inbound and answered, to ten services inside, and"
        " two are outbound and fail: SYNs at the seconds `syns`, no answer. Answered ones last a"
        " second, packets in both directions. Once a second the rules are read from the switch"
        " (`ovs-ofctl dump-flows`) and told apart by their cookies. Both kinds of rules go after"
        " `idle` seconds without a packet: short, so that the experiment is; the default is 60 s"
        " for redirect and 180 s for bypass rules."
    ),
    explains=(
        "Healthy flows cost nothing with conntrack: what grows are the redirect rules of failing"
        " flows, one each. The reactive pipeline has two bypass rules for each answered flow"
        " besides, which soon are most of the rules; with granularity *service* inbound flows of"
        " one service share a pair, and outbound ones, whose service is the client's own port,"
        " spare nothing. Rules level off once as many expire as come, about new flows a second"
        " times the seconds that a rule lives, and all but the static ones are gone in the end."
        " With the default timeouts the same flows would keep so many times more bypass rules."
    ),
    columns=(
        Column(name="pipeline", title="pipeline"),
        Column(name="granularity", title="granularity"),
        Column(name="second", title="time", unit="s"),
        Column(name="static", title="static rules"),
        Column(name="redirect", title="redirect rules"),
        Column(name="bypass", title="bypass rules"),
    ),
    chart=Chart(
        kind="steps", x="second", y=("redirect", "bypass"), series=("pipeline", "granularity")
    ),
    tabled={"second": (0, 5, 10, 20, 25, 30, 40)},
    needs_root=True,
    parameters={
        "rate": 50,
        "busy": 20,
        "watched": 40,
        "idle": 5,
        "syns": (0, 1, 3),
        "seed": 1,
    },
    quick={"rate": 30, "busy": 2, "watched": 6, "idle": 1, "syns": (0, 1.2)},
)


class Frame(NamedTuple):
    """What a host sends, and when."""

    at: float  # s
    host: str
    data: bytes


def run(quick: bool) -> list[Row]:
    """Watch each set-up under the same flows."""
    settings = EXPERIMENT.settings(quick)
    return [row for setup in _SETUPS for row in watch(setup, settings)]


def watch(setup: tuple[str, str], settings: dict[str, Any]) -> Iterator[Row]:
    """Yield what rules the switch has, second by second."""
    pipeline, granularity = setup
    idle = f"{settings['idle']}s"
    text = f"{PIPELINES[pipeline]}, redirect: {{idle_timeout: {idle}}}"
    text += _SETUPS[setup] % {"idle": idle}
    frames = list(traffic(settings))
    heapq.heapify(frames)
    with (
        tempfile.TemporaryDirectory() as directory,
        Network("single") as network,
        Controller(Path(directory), text, timeout="1s"),
    ):
        begin = time.monotonic()
        for second in range(settings["watched"] + 1):
            kinds = count_rules(network.rules())
            yield {
                "pipeline": pipeline, "granularity": granularity or None, "second": second,
                "static": kinds[Kind.STATIC], "redirect": kinds[Kind.REDIRECT],
                "bypass": kinds[Kind.BYPASS],
            }  # fmt: skip
            send_until(second + 1, begin, frames, network)


def send_until(second: float, begin: float, frames: list[Frame], network: Network) -> None:
    """Send what is due before a second, when it is, and return then."""
    while frames and frames[0].at < second:
        frame = heapq.heappop(frames)
        time.sleep(max(0.0, begin + frame.at - time.monotonic()))
        network.send(frame.host, frame.data)
    time.sleep(max(0.0, begin + second - time.monotonic()))


def traffic(settings: dict[str, Any]) -> Iterator[Frame]:
    """Yield the frames of all flows; which of them fails is drawn."""
    random = Random(settings["seed"])
    for n in range(settings["rate"] * settings["busy"]):
        at = n / settings["rate"]
        inside, outside = address(10, 0x010000 + n), address(198, 0x010000 + n)
        port = 1024 + n
        kind = random.choices(("outbound", "inbound", "failing"), (4, 4, 2))[0]
        if kind == "failing":
            syn = tcp_frame(inside, outside, port, 443, SYN, 1, 0)
            yield from (Frame(at + wait, "client", syn) for wait in settings["syns"])
        elif kind == "outbound":
            yield from answered(at, inside, outside, port, 443, inbound=False)
        else:
            service = address(10, 1 + n % _SERVICES)
            yield from answered(at, outside, service, port, 443, inbound=True)


def answered(
    at: float, client: str, server: str, port: int, service: int, *, inbound: bool
) -> Iterator[Frame]:
    """Yield a handshake and five packets each way."""
    ours, theirs = ("server", "client") if inbound else ("client", "server")

    def there(when: float, flags: int, sequence: int, acknowledged: int) -> Frame:
        data = tcp_frame(client, server, port, service, flags, sequence, acknowledged, back=inbound)
        return Frame(at + when, ours, data)

    def back(when: float, flags: int, sequence: int, acknowledged: int) -> Frame:
        data = tcp_frame(
            server, client, service, port, flags, sequence, acknowledged, back=not inbound
        )
        return Frame(at + when, theirs, data)

    yield there(0, SYN, 1, 0)
    yield back(_ROUND_TRIP, SYN | ACK, 1, 2)
    for n in range(5):
        yield there(2 * _ROUND_TRIP + n * _PAUSE, ACK, 2, 2)
        yield back(3 * _ROUND_TRIP + n * _PAUSE, ACK, 2, 2)


def count_rules(dump: str) -> Counter[Kind]:
    """Count our rules in a dump by what they are for."""
    found = (Cookie.of(int(bits, 16)) for bits in re.findall(r"cookie=(0x[0-9a-f]+)", dump))
    return Counter(cookie.kind for cookie in found if cookie is not None)
