"""The text that a flow's record does not hold, in one pass of compiled code: addresses and ids."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from chamaleonet.flows.records import MARK_CLIENT_HIGH
from chamaleonet.kernels import inlined, kernel
from chamaleonet.log.community_id import COMMUNITY_ID_BYTES, SHA1_WORDS, write_community_id
from chamaleonet.log.text import ADDRESS_BYTES, write_address

if TYPE_CHECKING:
    from numpy.typing import NDArray


class FlowTexts(NamedTuple):
    """ASCII text of n flows, laid out as Arrow lays out columns of strings.

    Attributes:
        addresses: uint8, shape (3, ADDRESS_BYTES * n): clients, servers, ICMP senders.
        ends: int32, shape (3, n + 1): offsets into ``addresses``: text i of a kind lies from
            ``ends[kind, i]`` to ``ends[kind, i + 1]``; a flow without ICMP sender has none.
        community_ids: uint8, shape (COMMUNITY_ID_BYTES * n,).
    """

    addresses: NDArray[np.uint8]
    ends: NDArray[np.int32]
    community_ids: NDArray[np.uint8]


@inlined
def _client_and_server(flow: Any) -> tuple[int, int, int, int]:
    if flow.marks & MARK_CLIENT_HIGH:
        return flow.high_hi, flow.high_lo, flow.low_hi, flow.low_lo
    return flow.low_hi, flow.low_lo, flow.high_hi, flow.high_lo


@kernel
def _write(
    flows: NDArray[np.void],
    addresses: NDArray[np.uint8],
    ends: NDArray[np.int32],
    community_ids: NDArray[np.uint8],
    words: NDArray[np.uint32],
) -> None:
    """Fill the arrays of FlowTexts; ``words`` is uint32, shape (SHA1_WORDS,), to work in."""
    clients, servers, senders = addresses[0], addresses[1], addresses[2]
    for i in range(len(flows)):
        flow = flows[i]
        version = flow.kind & 15
        client_hi, client_lo, server_hi, server_lo = _client_and_server(flow)
        ends[0, i + 1] = write_address(version, client_hi, client_lo, clients, ends[0, i])
        ends[1, i + 1] = write_address(version, server_hi, server_lo, servers, ends[1, i])
        ends[2, i + 1] = ends[2, i]
        if flow.sender_hi | flow.sender_lo:
            ends[2, i + 1] = write_address(
                version, flow.sender_hi, flow.sender_lo, senders, ends[2, i]
            )
        write_community_id(flow, words, community_ids, COMMUNITY_ID_BYTES * i)


def flow_texts(flows: NDArray[np.void]) -> FlowTexts:
    """Return the addresses (RFC 5952) and Community IDs of flows.

    Args:
        flows: FLOW, shape (n,).
    """
    n = len(flows)
    addresses = np.empty((3, ADDRESS_BYTES * n), np.uint8)
    ends = np.zeros((3, n + 1), np.int32)
    community_ids = np.empty(COMMUNITY_ID_BYTES * n, np.uint8)
    _write(flows, addresses, ends, community_ids, np.empty(SHA1_WORDS, np.uint32))
    return FlowTexts(addresses, ends, community_ids)
