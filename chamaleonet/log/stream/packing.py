"""Records as the maps of the verdict stream, and back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from chamaleonet.flows.records import (
    CAPTURED,
    FLOW,
    MARK_CLIENT_HIGH,
    Direction,
    Quality,
    Query,
    Role,
)
from chamaleonet.flows.transitions import State
from chamaleonet.log.columns import PORT_PROTOCOLS
from chamaleonet.log.stream.messages import (
    COUNT_FIELDS,
    FLOW_FIELDS,
    PACKET_FIELDS,
    MessageError,
    check,
)
from chamaleonet.log.tally import COUNT, NO_REPLY

if TYPE_CHECKING:
    from numpy.typing import NDArray

_VERDICTS = {state.label: state for state in State}
_DIRECTIONS = {direction.label: direction for direction in Direction}
_QUALITIES = {quality.label: quality for quality in Quality}
_STATE_LABELS = [state.label for state in State]
_DIRECTION_LABELS = [direction.label for direction in Direction]
_QUALITY_LABELS = [quality.label for quality in Quality]
_LOW = (1 << 64) - 1


def _pack_address(version: int, high: int, low: int) -> bytes:
    return low.to_bytes(4, "big") if version == 4 else (high << 64 | low).to_bytes(16, "big")


def _unpack_address(address: bytes) -> tuple[int, int]:
    number = int.from_bytes(address, "big")
    return number >> 64, number & _LOW


def pack_flow(flow: np.void) -> dict[str, Any]:
    """Return a FLOW record as the map that FLOW_FIELDS describes."""
    values: tuple[Any, ...] = flow.item()  # type: ignore[assignment]  # it is no plain V128
    return _pack(values)


def pack_flows(flows: NDArray[Any]) -> list[dict[str, Any]]:
    """Return FLOW records, shape (n,), as ``pack_flow`` does, sooner."""
    return list(map(_pack, flows.tolist()))


def _pack(values: tuple[Any, ...]) -> dict[str, Any]:
    row = dict(zip(FLOW.names or (), values, strict=True))
    protocol, query, version = row["kind"] >> 8, row["kind"] >> 4 & 15, row["kind"] & 15
    low = _pack_address(version, row["low_hi"], row["low_lo"]), row["ports"] >> 16
    high = _pack_address(version, row["high_hi"], row["high_lo"]), row["ports"] & 0xFFFF
    client, server = (high, low) if row["marks"] & MARK_CLIENT_HIGH else (low, high)
    has_ports = protocol in PORT_PROTOCOLS
    by_icmp = row["sender_hi"] or row["sender_lo"]
    sender = _pack_address(version, row["sender_hi"], row["sender_lo"])
    return {
        "first": row["first"],
        "last": row["last"],
        "judged": row["judged"],
        "verdict": _STATE_LABELS[row["state"]],
        "direction": _DIRECTION_LABELS[row["direction"]],
        "protocol": protocol,
        "query": query,
        "identifier": low[1] if query else None,
        "client": client[0],
        "client_port": client[1] if has_ports else None,
        "server": server[0],
        "server_port": server[1] if has_ports else None,
        "vlan": row["vlan"] or None,
        "attempts": row["attempts"],
        "client_packets": row["client_packets"],
        "server_packets": row["server_packets"],
        "client_bytes": row["client_bytes"],
        "server_bytes": row["server_bytes"],
        "reply_delay": row["reply_delay"] if row["reply_delay"] >= 0 else None,
        "icmp_type": row["icmp_type"] if by_icmp else None,
        "icmp_code": row["icmp_code"] if by_icmp else None,
        "icmp_sender": sender if by_icmp else None,
        "quality": _QUALITY_LABELS[row["quality"]],
    }


def _check_flow(message: object) -> dict[str, Any]:
    flow = check(message, FLOW_FIELDS)
    client, server, sender = flow["client"], flow["server"], flow["icmp_sender"]
    if len(client) != len(server) or (sender is not None and len(sender) != len(client)):
        raise MessageError("addresses of different IP versions")
    ports = flow["client_port"], flow["server_port"]
    if (flow["protocol"] in PORT_PROTOCOLS) == (None in ports):
        raise MessageError("ports do not agree with the protocol")
    query = flow["query"]
    if query >= len(Query) or (query != Query.NONE) == (flow["identifier"] is None):
        raise MessageError("query and identifier do not agree")
    return flow


def check_record(message: dict[str, Any]) -> None:
    """Check a record to its last field.

    Raises:
        MessageError: a field is missing or not of its type, or two contradict each other.
    """
    if message["kind"] == "counts":
        for count in message["counts"]:
            _check_count(count)
        return
    _check_flow(message["flow"])
    for packet in message.get("packets", ()):
        check(packet, PACKET_FIELDS)


def unpack_flow(message: dict[str, Any]) -> NDArray[np.void]:
    """Return a FLOW record, shape (1,), from a map that FLOW_FIELDS describes.

    Raises:
        MessageError: a field is missing or not of its type, or two contradict each other.
    """
    flow = _check_flow(message)
    protocol, query = flow["protocol"], flow["query"]
    client, server, sender = flow["client"], flow["server"], flow["icmp_sender"]
    ports = flow["client_port"], flow["server_port"]
    if query:
        ports = flow["identifier"], flow["identifier"]
    ends = [(*_unpack_address(client), ports[0] or 0), (*_unpack_address(server), ports[1] or 0)]
    marks = MARK_CLIENT_HIGH if ends[0] > ends[1] else 0
    ends.sort()
    record = np.zeros(1, FLOW)
    (low_hi, low_lo, low_port), (high_hi, high_lo, high_port) = ends
    record["low_hi"], record["low_lo"] = low_hi, low_lo
    record["high_hi"], record["high_lo"] = high_hi, high_lo
    record["ports"] = low_port << 16 | high_port
    record["kind"] = protocol << 8 | query << 4 | (4 if len(client) == 4 else 6)
    record["state"] = _VERDICTS[flow["verdict"]]
    record["direction"] = _DIRECTIONS[flow["direction"]]
    record["quality"] = _QUALITIES[flow.get("quality", Quality.SOUND.label)]
    record["marks"] = marks
    record["slab"] = -1
    record["reply_delay"] = -1 if flow["reply_delay"] is None else flow["reply_delay"]
    record["vlan"] = flow["vlan"] or 0
    for name in (
        "first", "last", "judged", "attempts",
        "client_packets", "server_packets", "client_bytes", "server_bytes",
    ):  # fmt: skip
        record[name] = flow[name]
    if sender is not None:
        record["sender_hi"], record["sender_lo"] = _unpack_address(sender)
        record["icmp_type"], record["icmp_code"] = flow["icmp_type"] or 0, flow["icmp_code"] or 0
    return record


def pack_packet(packet: np.void, data: NDArray[np.uint8]) -> dict[str, Any]:
    """Return a CAPTURED record and its bytes as the map that PACKET_FIELDS describes."""
    start = int(packet["offset"])
    return {
        "time": int(packet["time"]),
        "link": int(packet["link"]),
        "wire_length": int(packet["wire_length"]),
        "data": data[start : start + int(packet["length"])].tobytes(),
    }


def unpack_packets(
    messages: list[Any], flow: NDArray[np.void]
) -> tuple[NDArray[np.void], NDArray[np.uint8]]:
    """Return the first packets in a verdict message, of the flow in it.

    Returns:
        CAPTURED, shape (m,), and uint8, the bytes that they point into.

    Raises:
        MessageError: a field is missing or not of its type.
    """
    packets = np.zeros(len(messages), CAPTURED)
    data = bytearray()
    for i, message in enumerate(messages):
        packet = check(message, PACKET_FIELDS)
        packets["offset"][i], packets["length"][i] = len(data), len(packet["data"])
        for name in ("time", "link", "wire_length"):
            packets[name][i] = packet[name]
        data += packet["data"]
    packets["role"] = Role.FIRST
    packets["row"] = -1
    packets["flow"] = flow
    return packets, np.frombuffer(data, np.uint8)


def _check_count(message: object) -> dict[str, Any]:
    count = check(message, COUNT_FIELDS)
    if (count["protocol"] in PORT_PROTOCOLS) == (count["server_port"] is None):
        raise MessageError("server_port does not agree with the protocol")
    if (count["direction"] == Direction.TRANSIT.label) != (count["host"] is None):
        raise MessageError("host does not agree with the direction")
    return count


def pack_count(count: np.void) -> dict[str, Any]:
    """Return a COUNT record as the map that COUNT_FIELDS describes."""
    row = dict(zip(COUNT.names or (), count.item(), strict=True))
    protocol, version = row["kind"] >> 8, row["kind"] & 15
    transit = row["direction"] == Direction.TRANSIT
    return {
        "minute": row["minute"],
        "host": None if transit else _pack_address(version, row["host_hi"], row["host_lo"]),
        "direction": _DIRECTION_LABELS[row["direction"]],
        "protocol": protocol,
        "server_port": row["server_port"] if protocol in PORT_PROTOCOLS else None,
        "verdict": _STATE_LABELS[row["state"]],
        "delay": None if row["delay"] == NO_REPLY else row["delay"],
        "flows": row["flows"],
    }


def unpack_counts(messages: list[Any]) -> NDArray[np.void]:
    """Return COUNT records, shape (n,), whose packets and bytes are not known.

    Raises:
        MessageError: a field is missing or not of its type, or two contradict each other.
    """
    records = np.zeros(len(messages), COUNT)
    for record, message in zip(records, messages, strict=True):
        count = _check_count(message)
        host = count["host"]
        record["minute"], record["flows"] = count["minute"], count["flows"]
        record["kind"] = count["protocol"] << 8 | (6 if host is not None and len(host) == 16 else 4)
        if host is not None:
            record["host_hi"], record["host_lo"] = _unpack_address(host)
        record["direction"] = _DIRECTIONS[count["direction"]]
        record["server_port"] = count["server_port"] or 0
        record["state"] = _VERDICTS[count["verdict"]]
        record["delay"] = NO_REPLY if count["delay"] is None else count["delay"]
    return records
