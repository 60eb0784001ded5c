"""How many rules a second the switch confirms, by how many of them share a barrier."""

from __future__ import annotations

import socket
from contextlib import contextmanager
from itertools import islice
from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING

from benchmarks.experiments.experiment import Chart, Column, Experiment, Published, Row
from benchmarks.live import BRIDGE, add_bridge, by_rulebook
from benchmarks.rules import redirects
from chamaleonet.switch import encode
from mininet_tests.harness import run as command
from tests.fake_switch import BARRIER_REPLY, ECHO_REPLY, ECHO_REQUEST, ERROR, HELLO, message

if TYPE_CHECKING:
    from collections.abc import Iterator

_FIRST = "first ChamaleoNet (C, P4 on a Tofino switch)"
_HANDED_DOWN = "told of the first ChamaleoNet; we found no public page that has it"
_NOTEBOOK = (
    "https://github.com/zhihao1998/ChamaleoNet analysis/bfrt_grpc_test.ipynb, random entries,"
    " median of the printed times"
)

EXPERIMENT = Experiment(
    title="Rule-install rate by batch size",
    question="How many rules a second does the switch take, by how many share a confirmation?",
    method=(
        "Redirect rules go to an empty bridge of Open vSwitch over OpenFlow 1.3 on loopback, from"
        " one socket that does nothing else: so many flow-mods, encoded before, then a barrier;"
        " the next batch follows the barrier's reply. Each run begins with a new bridge. The last"
        " row is what runs live: the rulebook over os-ken, which sends what is waiting (1,000"
        " rules at most) under one barrier, and has up to four of these on the way. Medians."
    ),
    explains=(
        "A barrier costs a round trip, and the switch handles what came with it at one go; so"
        " larger batches are faster, as they are on the Tofino, up to where the rules themselves"
        " are what takes the time. The two switches are not the same thing: theirs writes into"
        " hardware through a driver and gRPC, ours into a table in memory over loopback. So the"
        " figures do not say which is better, but that our controller would not be what limits such"
        " a switch. The rulebook makes, encodes and keeps track of its rules within the time that"
        " is measured; the socket sends from memory."
    ),
    columns=(
        Column(name="sender", title="sent by"),
        Column(name="batch", title="rules per barrier"),
        Column(name="rules", title="rules"),
        Column(name="rate", title="rules confirmed", unit="1/s"),
        Column(name="ratio", title="of the first row"),
    ),
    chart=Chart(kind="line", x="batch", y="rate", series=("sender",), log="xy"),
    published=(
        Published(
            what=f"{_FIRST}, batch of 1", value=656, source=_HANDED_DOWN,
            column="rate", where={"batch": 1}, x=1,
        ),
        Published(
            what=f"{_FIRST}, batch of 1,000", value=3968, source=_HANDED_DOWN,
            column="rate", where={"batch": 1000}, x=1000,
        ),
        Published(
            what="its authors' measurement, call of `entry_add` alone, batch of 10",
            value="2,840 1/s (3.4 and 3.6 ms)", source=_NOTEBOOK,
            column="rate", where={"batch": 10},
        ),
        Published(
            what="the same, batch of 1,000", value="11,900 1/s (83 and 84 ms)", source=_NOTEBOOK,
            column="rate", where={"batch": 1000},
        ),
    ),
    needs_root=True,
    parameters={"rules": 5000, "batches": (1, 10, 100, 1000), "rounds": 5},
    quick={"rules": 1000, "rounds": 1},
)  # fmt: skip


def run(quick: bool) -> list[Row]:
    """Measure each batch size, and the rulebook, alternating."""
    settings = EXPERIMENT.settings(quick)
    rules, batches = settings["rules"], settings["batches"]
    rates: dict[int | None, list[float]] = {batch: [] for batch in (*batches, None)}
    for _ in range(settings["rounds"]):
        for batch in batches:
            rates[batch].append(by_batches(rules, batch))
        rates[None].append(by_rulebook(rules))
    base = median(rates[batches[0]])
    return [
        {
            "sender": "rulebook" if batch is None else "a socket", "batch": batch, "rules": rules,
            "rate": round(median(found), 1), "ratio": round(median(found) / base, 2),
        }
        for batch, found in rates.items()
    ]  # fmt: skip


def by_batches(rules: int, size: int) -> float:
    """Return how many rules a second a new bridge confirms, in batches of a size.

    Raises:
        RuntimeError: it refuses one.
    """
    messages = [encode.add(rule, 1, xid) for xid, rule in enumerate(islice(redirects(), rules))]
    batches = [
        b"".join(messages[at : at + size]) + encode.barrier(at) for at in range(0, rules, size)
    ]
    with switch() as connection:
        begin = perf_counter()
        for batch in batches:
            connection.send(batch)
            connection.wait_for(BARRIER_REPLY)
        return rules / (perf_counter() - begin)


@contextmanager
def switch() -> Iterator[Connection]:
    """Yield a connection to a new bridge, which is removed at the end."""
    add_bridge()
    try:
        with socket.create_server(("127.0.0.1", 0)) as server:
            server.settimeout(30)
            target = f"tcp:127.0.0.1:{server.getsockname()[1]}"
            command("ovs-vsctl", "set-controller", BRIDGE, target)
            accepted, _ = server.accept()
        with accepted:
            connection = Connection(accepted)
            connection.send(message(HELLO) + encode.barrier(0))
            connection.wait_for(BARRIER_REPLY)  # it has taken our hello
            yield connection
    finally:
        command("ovs-vsctl", "--if-exists", "del-br", BRIDGE)


class Connection:
    """The controller's end of a connection, and as little of a controller as there can be."""

    def __init__(self, accepted: socket.socket) -> None:
        accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        accepted.settimeout(30)
        self._socket, self._buffer = accepted, b""

    def send(self, data: bytes) -> None:
        """Send whole messages."""
        self._socket.sendall(data)

    def wait_for(self, wanted: int) -> None:
        """Take messages until one of this type.

        Raises:
            RuntimeError: one of them is an error message.
        """
        while True:
            kind, body = self._receive()
            if kind == ERROR:
                raise RuntimeError(f"the switch refuses a message: {body.hex()}")
            if kind == ECHO_REQUEST:
                self.send(message(ECHO_REPLY, body))
            if kind == wanted:
                return

    def _receive(self) -> tuple[int, bytes]:
        while len(self._buffer) < 8 or len(self._buffer) < self._length:
            data = self._socket.recv(65536)
            if not data:
                raise RuntimeError("the switch closed the connection")
            self._buffer += data
        found, self._buffer = self._buffer[: self._length], self._buffer[self._length :]
        return found[1], found[8:]

    @property
    def _length(self) -> int:
        return int.from_bytes(self._buffer[2:4])
