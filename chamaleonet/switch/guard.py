"""What the other end of an OpenFlow connection may say, before the framework sees any of it.

The framework takes a header's word for a message's length, parses whatever type comes at any time,
and goes on after what it cannot parse. A guard lets whole messages through that a switch may send
at this point of the conversation; after anything else nothing passes any more. It reads no socket
and no clock.

Layouts and lengths: OpenFlow Switch Specification 1.3.5, section 7; the order of the handshake:
section 6.3.1.
"""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import NamedTuple

VERSION = 4  # OpenFlow 1.3

HELLO, ERROR, ECHO_REQUEST, ECHO_REPLY, EXPERIMENTER = 0, 1, 2, 3, 4
FEATURES_REPLY, GET_CONFIG_REPLY = 6, 8
PACKET_IN, FLOW_REMOVED, PORT_STATUS = 10, 11, 12
MULTIPART_REPLY, BARRIER_REPLY, QUEUE_GET_CONFIG_REPLY = 19, 21, 23
ROLE_REPLY, GET_ASYNC_REPLY = 25, 27
_AGGREGATE, _PORT_DESC = 2, 13  # OFPMP_
_MORE = 1  # OFPMPF_REPLY_MORE
_EXPERIMENTER_ERROR = 0xFFFF  # OFPET_EXPERIMENTER

_HEADER = struct.Struct("!BBHI")
_ANY = 0xFFFF
# What a switch may send, and how many bytes it may have.
_LENGTHS = {
    HELLO: (8, 1024),
    ERROR: (12, _ANY),
    ECHO_REQUEST: (8, _ANY),
    ECHO_REPLY: (8, _ANY),
    EXPERIMENTER: (16, _ANY),
    FEATURES_REPLY: (32, 32),
    GET_CONFIG_REPLY: (12, 12),
    PACKET_IN: (34, _ANY),
    FLOW_REMOVED: (56, _ANY),
    PORT_STATUS: (80, 80),
    MULTIPART_REPLY: (16, _ANY),
    BARRIER_REPLY: (8, 8),
    QUEUE_GET_CONFIG_REPLY: (16, _ANY),
    ROLE_REPLY: (24, 24),
    GET_ASYNC_REPLY: (32, 32),
}
_AGGREGATE_LENGTH = 40
_EXPERIMENTER_ERROR_LENGTH = 16
# A switch does not wait for our questions to tell of these.
_UNASKED = frozenset((PACKET_IN, FLOW_REMOVED, PORT_STATUS))
_BEFORE_FEATURES = _UNASKED | {ERROR, ECHO_REQUEST, ECHO_REPLY, FEATURES_REPLY}

# A reply in parts is refused beyond this: some 500,000 rules.
_MOST_IN_PARTS = 64 << 20  # bytes
_LEAST_OF_PART = 1024  # bytes that a part is taken for at least: each costs time, however small
_MOST_UNFINISHED = 64  # replies whose last part has not come


class Stage(IntEnum):
    """How far the handshake has come: what is awaited next."""

    HELLO = 0
    FEATURES = 1
    PORTS = 2
    DONE = 3


class Refusal(NamedTuple):
    """Why a connection is to be closed.

    Attributes:
        cause: one of chamaleonet.metrics.OPENFLOW_ERRORS.
        detail: what was seen, for the log.
        answer: an error message for the peer, where the specification wants one.
    """

    cause: str
    detail: str
    answer: bytes = b""


class _RefusedError(Exception):
    def __init__(self, cause: str, detail: str, answer: bytes = b"") -> None:
        super().__init__(detail)
        self.refusal = Refusal(cause, detail, answer)


class Guard:
    """Checks what one connection brings.

    Attributes:
        stage: how far the handshake has come.
        datapath_id: as the switch told it, or None until then.
        refusal: why nothing passes any more, or None.
        early_packets: packet-ins so far that came before it was known from which switch; they do
            not pass.
    """

    def __init__(self) -> None:
        self.stage = Stage.HELLO
        self.datapath_id: int | None = None
        self.refusal: Refusal | None = None
        self.early_packets = 0
        self._buffer = bytearray()
        self._unfinished: dict[int, int] = {}  # xid -> bytes so far

    @property
    def within_message(self) -> bool:
        """Whether the last message has not come to its end."""
        return bool(self._buffer)

    def receive(self, data: bytes) -> list[bytes]:
        """Take what came; return the messages to be passed on, each whole.

        A hello is passed on as one of the agreed version and without elements, whatever it was.
        """
        passed: list[bytes] = []
        if self.refusal is not None:
            return passed
        buffer = self._buffer
        buffer += data
        start = 0
        try:
            while len(buffer) - start >= _HEADER.size:
                version, kind, length, xid = _HEADER.unpack_from(buffer, start)
                self._check_header(version, kind, length)
                end = start + length
                if len(buffer) < end:
                    break
                message = self._checked(version, kind, xid, bytes(buffer[start:end]))
                if message is not None:
                    passed.append(message)
                start = end
        except _RefusedError as refused:
            self.refusal = refused.refusal
        del buffer[:start]
        return passed

    def _check_header(self, version: int, kind: int, length: int) -> None:
        if self.stage is Stage.HELLO:
            if kind != HELLO:
                raise _RefusedError("order", f"type {kind} (version {version}) is no hello")
        elif version != VERSION:
            raise _RefusedError("version", f"version {version} after {VERSION} was agreed on")
        limits = _LENGTHS.get(kind)
        if limits is None:
            raise _RefusedError("type", f"type {kind} comes from no switch")
        if not limits[0] <= length <= limits[1]:
            raise _RefusedError("length", f"type {kind} with {length} bytes")
        if (kind == HELLO and self.stage is not Stage.HELLO) or (
            self.stage is Stage.FEATURES and kind not in _BEFORE_FEATURES
        ):
            raise _RefusedError("order", f"type {kind} at the stage {self.stage.name}")

    def _checked(self, version: int, kind: int, xid: int, message: bytes) -> bytes | None:
        """Return what of a whole message is to be passed on, if anything."""
        if kind == HELLO:
            _agree(version, message)
            self.stage = Stage.FEATURES
            return _HEADER.pack(VERSION, HELLO, _HEADER.size, xid)
        if kind == FEATURES_REPLY:
            self._identify(message)
        elif kind == MULTIPART_REPLY:
            self._count_parts(xid, message)
        elif kind == ERROR:
            (of_type,) = struct.unpack_from("!H", message, 8)
            if of_type == _EXPERIMENTER_ERROR and len(message) < _EXPERIMENTER_ERROR_LENGTH:
                raise _RefusedError("length", f"experimenter error with {len(message)} bytes")
        elif self.stage is Stage.FEATURES and kind in _UNASKED:
            self.early_packets += kind == PACKET_IN
            return None
        return message

    def _identify(self, message: bytes) -> None:
        datapath_id, auxiliary = struct.unpack_from("!Q5xB", message, 8)
        if auxiliary:
            raise _RefusedError("auxiliary", f"auxiliary connection {auxiliary}")
        if self.datapath_id is None:
            self.datapath_id = datapath_id
            self.stage = Stage.PORTS
        elif datapath_id != self.datapath_id:
            raise _RefusedError("order", "another datapath id than before")

    def _count_parts(self, xid: int, message: bytes) -> None:
        of_type, flags = struct.unpack_from("!HH", message, 8)
        if of_type == _AGGREGATE and len(message) != _AGGREGATE_LENGTH:
            raise _RefusedError("length", f"aggregate statistics with {len(message)} bytes")
        size = self._unfinished.pop(xid, 0) + max(len(message), _LEAST_OF_PART)
        if flags & _MORE:
            if size > _MOST_IN_PARTS or len(self._unfinished) >= _MOST_UNFINISHED:
                raise _RefusedError("multipart", f"{size} bytes, and more to come")
            self._unfinished[xid] = size
        elif of_type == _PORT_DESC and self.stage is Stage.PORTS:
            self.stage = Stage.DONE


def _agree(version: int, message: bytes) -> None:
    """Check that both ends can speak OpenFlow 1.3: by the bitmap, or else the lower version."""
    bitmap = None
    at = _HEADER.size
    while len(message) - at >= 4:
        kind, length = struct.unpack_from("!HH", message, at)
        if length < 4 or at + length > len(message):
            raise _RefusedError("length", f"hello element of {length} bytes")
        if kind == 1 and length >= 8:  # OFPHET_VERSIONBITMAP
            (bitmap,) = struct.unpack_from("!I", message, at + 4)
        at += length + 7 & ~7
    agreed = version >= VERSION if bitmap is None else bitmap >> VERSION & 1
    if not agreed:
        text = b"OpenFlow 1.3 alone is spoken here"
        head = _HEADER.pack(VERSION, ERROR, _HEADER.size + 4 + len(text), 0)
        answer = head + struct.pack("!HH", 0, 0) + text  # OFPET_HELLO_FAILED, OFPHFC_INCOMPATIBLE
        raise _RefusedError("version", f"version {version}, bitmap {bitmap or 0:#x}", answer)
