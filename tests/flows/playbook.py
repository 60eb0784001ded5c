"""Scripts of packets and what they must lead to, played by the engine and by the reference."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_network

from chamaleonet.flows.engine import Engine, Settings
from chamaleonet.flows.records import MARK_CLIENT_HIGH, Change, Role
from chamaleonet.flows.transitions import ERRONEOUS, VERDICTS, State
from tests.reference import INTERNAL, Judge
from tests.traffic import SECOND, Record, batch, ethernet

TIMEOUT, IDLE = 3 * SECOND, 180 * SECOND


def settings(**changes):
    """Return the settings of the contract, some of them changed."""
    return Settings(**{"internal": tuple(map(ip_network, INTERNAL)), "max_flows": 4096} | changes)


def address(version, hi, lo):
    """Return an address of a record."""
    return IPv4Address(int(lo)) if version == 4 else IPv6Address(int(hi) << 64 | int(lo))


def ends(flow):
    """Return (client, server) of a FLOW record as (address, port); no port for ICMP."""
    version = int(flow["kind"]) & 15
    is_query = int(flow["kind"]) >> 4 & 15
    low_port, high_port = divmod(int(flow["ports"]), 1 << 16)
    low = (address(version, flow["low_hi"], flow["low_lo"]), 0 if is_query else low_port)
    high = (address(version, flow["high_hi"], flow["high_lo"]), 0 if is_query else high_port)
    return (high, low) if flow["marks"] & MARK_CLIENT_HIGH else (low, high)


class Played:
    """What the engine told of a list of records."""

    def __init__(self, records, *, size=65536, **changes):
        self.engine = Engine(
            settings(**changes), judged=tuple(State), ended=tuple(State), packets=True
        )
        self.judged, self.ended, self.captured = [], [], []
        for first in range(0, len(records), size):
            self.take(self.engine.judge(batch(records[first : first + size])))
        self.summary = self.engine.summary()
        self.take(self.engine.finish())
        counted = ("non_ip", "malformed", "fragments", "excluded", "icmp_errors", "icmp_info")
        assert self.summary["packets"] == len(records)
        assert self.summary["packets"] == self.summary["flow_packets"] + sum(
            self.summary[name] for name in counted
        )
        assert self.summary["flows"] == sum(self.summary["verdicts"].values())

    def take(self, outputs):
        """Copy what the engine tells."""
        for output in outputs:
            for event in output.events:
                told = (int(event["time"]), State(event["was"]), event["flow"].copy())
                (self.judged if event["change"] == Change.JUDGED else self.ended).append(told)
            for packet in output.packets:
                first, length = int(packet["offset"]), int(packet["length"])
                data = output.data[first : first + length].tobytes()
                self.captured.append((Role(packet["role"]), packet.copy(), data))

    def judgements(self):
        """Return (time, from, to) of every verdict, the opening of pending flows left out."""
        return [
            (time, was.label, State(flow["state"]).label)
            for time, was, flow in self.judged
            if flow["state"] not in (State.PENDING, State.MIDSTREAM)
        ]

    def flows(self):
        """Return all that is known of each flow, in the order of their verdicts' names."""
        return sorted(
            (
                State(flow["state"]).label,
                *(str(end) for end in ends(flow)),
                int(flow["first"]),
                int(flow["last"]),
                int(flow["client_packets"]),
                int(flow["server_packets"]),
                int(flow["client_bytes"]),
                int(flow["server_bytes"]),
                int(flow["attempts"]),
                int(flow["reply_delay"]),
                (int(flow["icmp_type"]), int(flow["icmp_code"])),
                int(flow["vlan"]),
            )
            for _, _, flow in self.ended
        )

    def captures(self):
        """Return (role, time, length) of every captured packet."""
        return [
            (role.name.lower(), int(packet["time"]), int(packet["length"]))
            for role, packet, _ in self.captured
        ]


class Reference:
    """The same of the reference."""

    def __init__(self, records, *, capture=ERRONEOUS, idle_timeout=IDLE, **changes):
        capture = tuple(state.label for state in capture)
        self.judge = Judge(capture=capture, idle=idle_timeout, **changes)
        for record in records:
            self.judge.packet(record.link, record.data, record.on_wire, record.time)
        self.summary = self.judge.summary()

    def flows(self):
        return sorted(
            (
                flow.state, str(flow.client), str(flow.server), flow.first, flow.last,
                *flow.packets, *flow.octets, flow.attempts,
                -1 if flow.reply_delay is None else flow.reply_delay,
                flow.error[:2] if flow.error else (0, 0),
                flow.vlan,
            )
            for flow in self.judge.all_flows()
        )  # fmt: skip


def compare(records, *, size=65536, **changes):
    """Let both judge the records; return what the engine told if they agree."""
    played, reference = Played(records, size=size, **changes), Reference(records, **changes)
    told = {name: played.summary[name] for name in reference.summary}
    assert told == reference.summary
    # Between packets, several deadlines and idle flows may be due in any order.
    assert sorted(played.judgements()) == sorted(reference.judge.judgements)
    assert sorted(played.captures()) == sorted(reference.judge.captured)
    assert played.flows() == reference.flows()
    return played


class Playbook:
    """A script that reads as one: ``Playbook().at(0, syn).expect("pending").at(3, ...)``."""

    def __init__(self, **changes):
        self._records, self._changes = [], changes

    def at(self, seconds, *packets, link=None):
        """Let IP packets be seen at this time, in Ethernet frames or as another link type."""
        for packet in packets:
            data = ethernet(packet) if link is None else packet
            self._records.append(Record(data, round(seconds * SECOND), link or 1))
        return self

    def expect(self, *verdicts):
        """Check the verdicts of all flows so far, and that the reference agrees."""
        played = compare(self._records, **self._changes)
        got = [state.label for state in VERDICTS
               for _ in range(played.summary["verdicts"][state.label])]  # fmt: skip
        assert sorted(got) == sorted(verdicts)
        return self

    def captured(self, number):
        """Check how many packets were captured so far."""
        played = compare(self._records, **self._changes)
        assert played.summary["captured_packets"] == number == len(played.captured)
        return self

    def played(self):
        """Return what the engine told."""
        return compare(self._records, **self._changes)
