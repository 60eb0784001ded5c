"""What the decoder makes of a packet: one 64-byte record, one cache line."""

from __future__ import annotations

from enum import IntEnum

import numpy as np


class Counted(IntEnum):
    """Under which name a packet is counted: section 1 of docs/verdicts.md, in its order."""

    NON_IP = 0
    MALFORMED = 1
    FRAGMENTS = 2
    EXCLUDED = 3
    ICMP_ERRORS = 4
    ICMP_INFO = 5
    FLOW_PACKETS = 6

    @property
    def label(self) -> str:
        """The key in the summary."""
        return self.name.lower()


# The key has the layout of records.FLOW. For an ICMP error it is the quoted packet's.
HEADERS = np.dtype(
    [
        ("low_hi", np.uint64),
        ("low_lo", np.uint64),
        ("high_hi", np.uint64),
        ("high_lo", np.uint64),
        ("ports", np.uint32),
        ("kind", np.uint16),
        ("vlan", np.uint16),
        ("time", np.int64),
        ("wire_length", np.uint32),
        ("hash", np.uint32),  # keyed hash of the key
        ("cut", np.uint16),  # bytes up to and with the last header that the key needs
        ("network", np.uint16),  # where the network header begins
        ("counted", np.uint8),  # Counted
        ("bits", np.uint8),  # BIT_; of the quoted packet for an ICMP error
        ("icmp_type", np.uint8),  # of an ICMP error
        ("icmp_code", np.uint8),
    ]
)
assert HEADERS.itemsize == 64

BIT_FROM_HIGH = 1  # the sender is the "high" end of the key
BIT_EQUAL_ENDS = 2  # both ends are the same
BIT_REQUEST = 4  # opens a flow that waits for an answer
BIT_RESPONSE = 8  # SYN+ACK, or an ICMP reply
BIT_SYN = 16  # TCP SYN without ACK
BIT_RESET = 32  # TCP RST
BIT_CLOSING = 64  # TCP FIN or RST
BIT_QUOTED = 128  # ICMP error: the key is that of the quoted packet; else it is tied to no flow
