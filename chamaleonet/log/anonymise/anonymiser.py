"""Flows and captured packets with other addresses: what the packet logger is given to write."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from chamaleonet.flows.records import raw
from chamaleonet.log.anonymise.addresses import ADDRESS, AddressMap
from chamaleonet.log.anonymise.layout import ADDRESSES, LAYOUT, lay_out, measure
from chamaleonet.log.anonymise.rewrite import rewrite
from chamaleonet.log.anonymise.scope import EVERYTHING, make_scope

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from chamaleonet.log.sinks import CountSink, EventSink, FlowSink, PacketSink
    from chamaleonet.units import Network

_CHUNK = 4096  # packets at a time: what is noted of them fits into the processor's cache
_ENDS = ("low", "high", "sender")


class Anonymiser:
    """Replaces addresses by Crypto-PAn, and blanks what else may hold one (docs/privacy.md).

    The records that come out are in order no more: the "low" end may be above the "high" one.
    Not to be used by several threads at once.

    Args:
        key: cryptopan.KEY_BYTES random bytes; not needed where no address is replaced.
        addresses: which are replaced: ``internal``, ``all`` or ``none``, and then nothing is
            changed at all, MAC addresses included.
        internal: the internal prefixes.
        exclude: prefixes whose addresses are kept.
        macs: what becomes of MAC addresses.

    Raises:
        ValueError: the key is missing, or has another length.
    """

    def __init__(
        self,
        key: bytes | None,
        *,
        addresses: Literal["internal", "all", "none"] = "internal",
        internal: Iterable[Network] = (),
        exclude: Iterable[Network] = (),
        macs: Literal["zero", "keep"] = "zero",
    ) -> None:
        self._map: AddressMap | None = None
        if addresses == "none":
            return
        if key is None:
            raise ValueError("addresses cannot be replaced without a key")
        replaced = EVERYTHING if addresses == "all" else internal
        self._map = AddressMap(key, make_scope(replaced, exclude))
        self._zero_macs = macs == "zero"
        self._layouts = np.empty(_CHUNK, LAYOUT)
        self._addresses = np.empty((_CHUNK, ADDRESSES), ADDRESS)

    def flows(self, flows: NDArray[Any]) -> NDArray[Any]:
        """Return flows with other addresses: FLOW, shape (n,), a copy unless nothing changes."""
        if self._map is None:
            return flows
        return self._replaced(self._map, flows, _ENDS)

    def counts(self, counts: NDArray[Any]) -> NDArray[Any]:
        """Return counters with other hosts: COUNT, shape (n,), a copy unless nothing changes."""
        return counts if self._map is None else self._replaced(self._map, counts, ("host",))

    @staticmethod
    def _replaced(
        addresses_of: AddressMap, records: NDArray[Any], fields: tuple[str, ...]
    ) -> NDArray[Any]:
        """Return a copy of records of a ``kind`` whose address fields hold other addresses."""
        records = _copy(records)
        addresses = np.empty((len(records), len(fields)), ADDRESS)
        addresses["version"] = (records["kind"] & 15)[:, None]
        for i, field in enumerate(fields):
            addresses["hi"][:, i] = records[f"{field}_hi"]
            addresses["lo"][:, i] = records[f"{field}_lo"]
        addresses_of.replace(addresses.reshape(-1))
        for i, field in enumerate(fields):
            records[f"{field}_hi"] = addresses["hi"][:, i]
            records[f"{field}_lo"] = addresses["lo"][:, i]
        return records

    def packets(
        self, packets: NDArray[Any], data: NDArray[np.uint8]
    ) -> tuple[NDArray[Any], NDArray[np.uint8]]:
        """Return packets with other addresses, in their bytes and in the records of their flows.

        Args:
            packets: CAPTURED, shape (n,).
            data: uint8: the bytes that they point into.

        Returns:
            CAPTURED, shape (n,), and the bytes of these packets alone; copies unless nothing
            changes. Packets end with the last header that was understood.

        Raises:
            ValueError: a packet lies beyond ``data``.
        """
        if self._map is None:
            return packets, data
        packets = _copy(packets)
        size = measure(packets, len(data))
        if size < 0:
            raise ValueError("a captured packet lies beyond its data")
        data = data.view()
        data.flags.writeable = False  # always: a kernel is compiled for each kind of array
        out = np.empty(size, np.uint8)
        end = 0
        for first in range(0, len(packets), _CHUNK):
            chunk = packets[first : first + _CHUNK]
            addresses = self._addresses[: len(chunk)]
            end = lay_out(chunk, data, out, end, self._layouts, addresses)
            self._map.replace(addresses.reshape(-1))
            rewrite(chunk, out[:end], self._layouts, addresses, self._zero_macs)
        return packets, out[:end]

    def packet_sink(self, sink: PacketSink) -> PacketSink:
        """Return a sink that hands packets on to ``sink`` with other addresses."""
        return _Packets(self, sink)

    def flow_sink(self, sink: FlowSink) -> FlowSink:
        """Return a sink that hands flows on to ``sink`` with other addresses."""
        return _Flows(self, sink)

    def count_sink(self, sink: CountSink) -> CountSink:
        """Return a sink that hands counters on to ``sink`` with other hosts."""
        return _Counts(self, sink)

    def event_sink(self, sink: EventSink) -> EventSink:
        """Return a sink that hands events on to ``sink`` with other addresses."""
        return _Events(self, sink)


def _copy(records: NDArray[Any]) -> NDArray[Any]:
    return raw(np.ascontiguousarray(records)).copy().view(records.dtype)


class _Packets(NamedTuple):
    anonymiser: Anonymiser
    sink: PacketSink

    def write(self, packets: NDArray[Any], data: NDArray[np.uint8]) -> None:
        self.sink.write(*self.anonymiser.packets(packets, data))


class _Flows(NamedTuple):
    anonymiser: Anonymiser
    sink: FlowSink

    def write(self, flows: NDArray[Any]) -> None:
        self.sink.write(self.anonymiser.flows(flows))


class _Counts(NamedTuple):
    anonymiser: Anonymiser
    sink: CountSink

    def write(self, counts: NDArray[Any]) -> None:
        self.sink.write(self.anonymiser.counts(counts))


class _Events(NamedTuple):
    anonymiser: Anonymiser
    sink: EventSink

    def verdicts(self, flows: NDArray[Any]) -> None:
        self.sink.verdicts(self.anonymiser.flows(flows))

    def ended(self, flows: NDArray[Any]) -> None:
        self.sink.ended(self.anonymiser.flows(flows))
