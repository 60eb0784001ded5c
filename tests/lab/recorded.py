"""What a run of the lab leaves, made without a network: its live part is judged offline.

    run = Run()
    run.healthy(1.0)
    run.unanswered(2.0)
    run.write(tmp_path)

Times are seconds since BEGIN. What is live can be given apart from what crossed the border, and be
changed before it is written, so that the judge has something to find.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from chamaleonet.flows.engine import Engine, Settings
from chamaleonet.flows.records import FLOW, Change, ended_flows
from chamaleonet.flows.transitions import ERRONEOUS, HEALTHY, VERDICTS
from chamaleonet.lab.inventory import Host, Inventory
from chamaleonet.lab.scenario import Scenario
from chamaleonet.log.store import Retention, Rotation, Store
from chamaleonet.switch.match import FlowKey
from chamaleonet.switch.rules import Rule, rule_text
from chamaleonet.units import network
from tests.capture.build import Packet, pcap
from tests.traffic import ACK, SECOND, SYN, Record, batch, ethernet, icmp_error, tcp, udp

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from chamaleonet.lab.result import Result

BEGIN = 1_795_000_000 * SECOND
TIMEOUT = 1  # second
INTERNAL = (network("10.20.0.0/16"), network("2001:db8:20::/48"))
RULE_AFTER = 4_000_000  # ns from a verdict to its rule

STAFF, HPC, WWW, GONE = "10.20.10.10", "10.20.30.10", "192.0.2.80", "192.0.2.99"
INVENTORY = Inventory(
    [
        Host.of("staff", [f"{STAFF}/24", "2001:db8:20:10::10/64"], inside=True),
        Host.of("hpc", [f"{HPC}/24"], inside=True),
        Host.of("www", [f"{WWW}/24", f"{GONE}/24"], inside=False),
    ]
)

FINDING = {
    "kind": "stale_server", "confidence": 0.9, "flows": 3, "share": 1.0, "hosts": [HPC],
    "evidence": [{"client": HPC, "server": GONE, "protocol": "tcp", "server_port": 80}],
    "cause": "a host polls a server that is gone", "fix": "tell it",
}  # fmt: skip
ELSEWHERE = FINDING | {"hosts": ["10.20.9.9"], "evidence": [], "cause": "something else"}

PLANT = {
    "name": "gone", "clients": "hpc:0", "servers": "www:1", "run": "true",
    "match": {"services": "tcp/80"}, "verdicts": "unanswered", "least": 3,
    "named_by": "stale_server",
}  # fmt: skip


def scenario(*plants: dict[str, Any], **keys: Any) -> Scenario:
    return Scenario(
        **{"title": "A test", "topology": "campus", "seconds": 30, "plants": plants} | keys
    )


class Run:
    """Packets that cross the border, and what is found of them."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.live: list[Record] | None = None  # None: the same
        self.change_flows: Callable[[np.ndarray], np.ndarray] = lambda flows: flows
        self.change_packets: Callable[[np.ndarray], np.ndarray] = lambda packets: packets
        self.rule_after = RULE_AFTER
        self.pipeline = "conntrack"
        self.findings: list[dict[str, Any]] = [FINDING]
        self.tables: dict[str, Any] = {}
        self._port = 20_000

    def packet(self, at: float, data: bytes) -> None:
        self.records.append(Record(ethernet(data), BEGIN + round(at * SECOND)))
        self.records.sort(key=lambda record: record.time)

    def port(self) -> int:
        self._port += 1
        return self._port

    def healthy(self, at: float, client: str = STAFF, server: str = WWW) -> int:
        """Open a connection that is answered; return the client's port."""
        port = self.port()
        self.packet(at, tcp(client, server, SYN, sport=port))
        self.packet(at + 0.02, tcp(server, client, SYN | ACK, sport=80, dport=port))
        self.packet(at + 0.03, tcp(client, server, ACK, sport=port))
        return port

    def unanswered(self, at: float, client: str = HPC, server: str = GONE, dport: int = 80) -> int:
        """Send SYNs at 0, 0.5 and 2 s that nobody answers; the last one is after the verdict."""
        port = self.port()
        for wait in (0, 0.5, 2):
            self.packet(at + wait, tcp(client, server, SYN, sport=port, dport=dport))
        return port

    def unreachable(self, at: float, client: str = HPC, server: str = WWW) -> int:
        """Send a datagram to a closed port."""
        port = self.port()
        datagram = udp(client, server, sport=port, dport=500)
        self.packet(at, datagram)
        self.packet(at + 0.02, icmp_error(server, datagram))
        return port

    def write(self, directory: Path, *, taps: int = 1) -> Path:
        """Write the run's directory and return it."""
        (directory / "chamaleonet.yaml").write_text(
            f"timeout: {TIMEOUT}s\n"
            "switches: [{name: s1, dp_id: 00000000000000a1, logger_port: 102,"
            f" pipeline: {self.pipeline}, candidates: {{}}}}]\n"
        )
        for tap in range(taps):
            packets = [
                Packet(record.data, record.on_wire, record.time)
                for record in self.records[tap::taps]
            ]
            (directory / f"trace-border-eth{tap}.pcap").write_bytes(pcap(packets, nano=True))
        self._write_live(directory)
        report = {"findings": self.findings, "tables": self.tables}
        (directory / "report.json").write_text(json.dumps(report))
        (directory / "metrics-controller.txt").write_text(
            "# TYPE chamaleonet_candidate_packets_total counter\n"
            'chamaleonet_candidate_packets_total{source="ring"} 12.0\n'
            'chamaleonet_candidate_packets_total{source="packet_in"} 30.0\n'
        )
        (directory / "versions.txt").write_text("openvswitch 3.1.0\n")
        return directory

    def judged(self, directory: Path, *plants: dict[str, Any], **keys: Any) -> Result:
        """Write the directory and judge it; the plant is PLANT by default."""
        from chamaleonet.lab.judge import judge

        self.write(directory)
        run = scenario(*(plants or (PLANT,)), **keys)
        return judge(run, INVENTORY, directory, internal=INTERNAL)

    def _write_live(self, directory: Path) -> None:
        settings = Settings(internal=INTERNAL, timeout=TIMEOUT * SECOND, max_flows=1024)
        logged = tuple(state for state in VERDICTS if state not in HEALTHY)
        engine = Engine(settings, judged=ERRONEOUS, ended=logged, packets=True)
        store = Store(
            directory / "log", BEGIN, flows="parquet", compression="zstd",
            rotation=Rotation(3600 * SECOND, 1 << 30), retention=Retention(None, None),
        )  # fmt: skip
        rules = ["ONFST_FLOW_MONITOR reply (OF1.3) (xid=0x6):"]
        records = self.records if self.live is None else self.live
        for step in (lambda: engine.judge(batch(records)), engine.finish):
            for output in step():
                store.packets.write(self.change_packets(output.packets.copy()), output.data)
                flows = self.change_flows(ended_flows(output.events).copy())
                store.flows.write(np.ascontiguousarray(flows, FLOW))
                for event in output.events[output.events["change"] == Change.JUDGED]:
                    rules += self._rule(event)
        store.commit(None, BEGIN)
        store.close()
        (directory / "rules-s1.txt").write_text("\n".join(rules) + "\n")

    def _rule(self, event: np.void) -> list[str]:
        match = FlowKey.of(event["flow"]).matchable.client_to_server()
        words = rule_text(Rule(0, 0, match)).split("priority=0,")[1].removesuffix(" actions=drop")
        return said(int(event["time"]) + self.rule_after, f"table=1 cookie={COOKIE} {words}")


COOKIE = "0xc4a1010000000001"


def said(time: int, rule: str, event: str = "ADDED") -> list[str]:
    """Return what `ovs-ofctl monitor` prints of a rule."""
    stamp = str(np.datetime64(time // 10**6, "ms")).replace("T", " ")
    return [
        f"{stamp}: ONFST_FLOW_MONITOR reply (OF1.3) (xid=0x0):",
        f" event={event} {rule} actions=output:102,goto_table:2",
    ]
