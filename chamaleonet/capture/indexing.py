"""What the capture file formats have in common: finding the packets in a buffer of file bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from chamaleonet.capture.batch import PacketBatch
    from chamaleonet.errors import UserError

# Bytes. A record that claims to hold more is taken for damage, as in libpcap (MAXIMUM_SNAPLEN)
# and Wireshark (WTAP_MAX_PACKET_SIZE_STANDARD): no link type that we read has longer packets,
# whatever snapshot length the file declares.
MAX_CAPTURED = 262_144
MAX_WIRE_LENGTH = 2**31 - 1  # what the batch's column holds; longer claims are cut to it
# A packet's record has at least this many bytes in each of the formats, so that a buffer of B
# bytes never holds more than B / 16 packets.
MIN_RECORD = 16


class Indexed(NamedTuple):
    """How far a buffer was indexed.

    Attributes:
        packets: rows of the columns that were filled.
        used: bytes of the buffer that are done; what follows is a record not yet whole.
        error: why indexing cannot go on after that, if it cannot.
    """

    packets: int
    used: int
    error: UserError | None


class RecordFormat(Protocol):
    """A capture file format, and where in a file of it we are."""

    def index(self, space: PacketBatch, end: int, position: int) -> Indexed:
        """Find the packets in the first ``end`` bytes of ``space.buffer``.

        Args:
            space: its columns are filled from row 0 on; they have a row for each ``MIN_RECORD``
                bytes of the buffer.
            end: how many bytes of the buffer are the file's; the first begins a record.
            position: where in the file (decompressed) the buffer's first byte lies.
        """
        ...
