"""A packet's comment: the verdict on its flow, and the flow's name.

``verdict=unanswered flow=1:MqDmVxj0eL2tOX6BL+LZ9PSMdmM= attempts=3``, for an ICMP error also
`` icmp=3/1``; or ``verdict=orphan icmp=11/0``. A verdict that is not sound says so behind it:
``verdict=unanswered quality=suspect flow=...``.

What the packets of a flow have in common is kept: the name costs a SHA-1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from chamaleonet.flows.records import Quality, Role
from chamaleonet.flows.transitions import State
from chamaleonet.kernels import inlined, prefetch
from chamaleonet.log.community_id import (
    COMMUNITY_ID_BYTES,
    SHA1_WORDS,
    write_community_id,
)
from chamaleonet.log.text import write_bytes, write_decimal

if TYPE_CHECKING:
    from numpy.typing import NDArray

_ROLE_ERROR = int(Role.ERROR)

# All fixed text in one array: the verdicts first, by state, the qualities, then the words between
# the numbers.
_TEXTS = [f"verdict={state.label}" for state in State]
_QUALITY = len(_TEXTS)
_TEXTS += ["" if quality is Quality.SOUND else f" quality={quality.label}" for quality in Quality]
_TEXTS += ["verdict=orphan", " flow=", " attempts=", " icmp=", "/"]
_ORPHAN, _FLOW, _ATTEMPTS, _ICMP, _SLASH = range(_QUALITY + len(Quality), len(_TEXTS))
_TEXT = np.frombuffer("".join(_TEXTS).encode(), np.uint8)
_TEXT_LENGTH = np.array([len(text) for text in _TEXTS])
_TEXT_START = np.cumsum(_TEXT_LENGTH) - _TEXT_LENGTH

# verdict=... quality=... flow=... attempts=
_COMMON_BYTES = (
    int(_TEXT_LENGTH[:_QUALITY].max() + _TEXT_LENGTH[_QUALITY:_ORPHAN].max())
    + 6 + COMMUNITY_ID_BYTES + 10
)  # fmt: skip
COMMENT_BYTES = _COMMON_BYTES + 10 + 6 + 7

# What the comments of one flow begin with, and on which fields of the flow that depends.
_COMMON = np.dtype(
    [
        ("low_hi", np.uint64),
        ("low_lo", np.uint64),
        ("high_hi", np.uint64),
        ("high_lo", np.uint64),
        ("ports", np.uint32),
        ("kind", np.uint16),
        ("state", np.uint8),
        ("marks", np.uint8),
        ("quality", np.uint8),
        ("length", np.uint8),  # 0: empty
        ("text", np.uint8, (_COMMON_BYTES,)),
    ]
)
_ITEM_BYTES = _COMMON.itemsize
_TEXT_AT = _ITEM_BYTES - _COMMON_BYTES
# A flow has one place, by its row; another one with the same place takes it.
_PLACES = 1 << 16


class Comments(NamedTuple):
    """What ``write_comment`` works in; memory is touched, and so used, as flows come."""

    common: NDArray[Any]  # _COMMON, shape (_PLACES,)
    octets: NDArray[np.uint8]  # the same memory
    words: NDArray[np.uint32]  # shape (SHA1_WORDS,)


def new_comments() -> Comments:
    """Return working memory for ``write_comment``."""
    common = np.zeros(_PLACES, _COMMON)
    return Comments(common, common.view(np.uint8), np.empty(SHA1_WORDS, np.uint32))


@inlined
def _write_text(text: int, out: NDArray[np.uint8], at: int) -> int:
    return write_bytes(_TEXT, _TEXT_START[text], _TEXT_LENGTH[text], out, at)


@inlined
def ask_for_comment(packet: Any, comments: Any) -> None:
    """Ask memory for what the comment of a packet (CAPTURED) will need."""
    place = int(packet.row) & (_PLACES - 1)
    prefetch(comments.common, place)
    prefetch(comments.octets, place * _ITEM_BYTES + 64)


@inlined
def _write_common(packet: Any, comments: Any, out: NDArray[np.uint8], at: int) -> int:
    """Write what the comments of a flow begin with: up to _COMMON_BYTES."""
    flow = packet.flow
    place = int(packet.row) & (_PLACES - 1)
    common = comments.common[place]
    text = place * _ITEM_BYTES + _TEXT_AT
    if (
        common.length > 0
        and common.low_lo == flow.low_lo
        and common.high_lo == flow.high_lo
        and common.ports == flow.ports
        and common.kind == flow.kind
        and common.state == flow.state
        and common.marks == flow.marks
        and common.quality == flow.quality
        and common.low_hi == flow.low_hi
        and common.high_hi == flow.high_hi
    ):
        # As many bytes as it can be: a few instructions then, no loop.
        write_bytes(comments.octets, text, _COMMON_BYTES, out, at)
        return at + int(common.length)
    end = _write_text(flow.state, out, at)
    end = _write_text(_QUALITY + flow.quality, out, end)
    end = _write_text(_FLOW, out, end)
    end = write_community_id(flow, comments.words, out, end)
    end = _write_text(_ATTEMPTS, out, end)
    common.low_hi, common.low_lo = flow.low_hi, flow.low_lo
    common.high_hi, common.high_lo = flow.high_hi, flow.high_lo
    common.ports, common.kind = flow.ports, flow.kind
    common.state, common.marks, common.quality = flow.state, flow.marks, flow.quality
    common.length = end - at
    write_bytes(out, at, end - at, comments.octets, text)
    return end


@inlined
def write_comment(packet: Any, comments: Any, out: NDArray[np.uint8], at: int) -> int:
    """Write a packet's comment and return the index after it.

    What stands behind it, within COMMENT_BYTES, may be written over.

    Args:
        packet: one CAPTURED record.
        comments: a Comments.
        out: uint8, with room for COMMENT_BYTES from index ``at``.
        at: where to write.
    """
    if packet.orphan:
        at = _write_text(_ORPHAN, out, at)
    else:
        at = _write_common(packet, comments, out, at)
        at = write_decimal(packet.flow.attempts, out, at)
    if packet.role == _ROLE_ERROR:
        at = _write_text(_ICMP, out, at)
        at = write_decimal(packet.icmp_type, out, at)
        at = _write_text(_SLASH, out, at)
        at = write_decimal(packet.icmp_code, out, at)
    return at
