"""An OpenFlow 1.3 switch made of one socket: it shakes hands and says what a test tells it to."""

from __future__ import annotations

import select
import socket
import struct
import time
from collections import Counter

HELLO, ERROR, ECHO_REQUEST, ECHO_REPLY = 0, 1, 2, 3
FEATURES_REQUEST, FEATURES_REPLY = 5, 6
PACKET_IN, FLOW_REMOVED, FLOW_MOD = 10, 11, 14
MULTIPART_REQUEST, MULTIPART_REPLY = 18, 19
BARRIER_REQUEST, BARRIER_REPLY = 20, 21
ROLE_REQUEST, ROLE_REPLY = 24, 25
EQUAL, MASTER, SLAVE = 1, 2, 3  # OFPCR_ROLE_
NO_GENERATION = (1 << 64) - 1
FLOW, TABLE, TABLE_FEATURES, PORT_DESC = 1, 3, 12, 13  # OFPMP_
ADD, DELETE, DELETE_STRICT = 0, 3, 4  # OFPFC_
NO_BUFFER = 0xFFFFFFFF


def message(kind, body=b"", xid=0):
    return struct.pack("!BBHI", 4, kind, 8 + len(body), xid) + body


def features(dp_id, auxiliary=0):
    return message(FEATURES_REPLY, struct.pack("!QIBBHII", dp_id, 0, 254, auxiliary, 0, 0, 0))


def multipart(kind, body=b"", xid=0, *, more=False):
    return message(MULTIPART_REPLY, struct.pack("!HH4x", kind, more) + body, xid)


def packet_in(cookie, data, total_length=None, in_port=1):
    """Return an OFPT_PACKET_IN with a match on in_port, as Open vSwitch sends it."""
    total = len(data) if total_length is None else total_length
    match = struct.pack("!HHII4x", 1, 12, 0x80000004, in_port)
    head = struct.pack("!IHBBQ", NO_BUFFER, total, 1, 2, cookie)
    return message(PACKET_IN, head + match + b"\0\0" + data)


def flow_removed(cookie, reason=0):
    """Return an OFPT_FLOW_REMOVED with an empty match."""
    counters = struct.pack("!IIHHQQ", 60, 0, 60, 0, 0, 0)
    head = struct.pack("!QHBB", cookie, 100, reason, 1)
    return message(FLOW_REMOVED, head + counters + struct.pack("!HH4x", 1, 4))


class FlowTable:
    """The flow entries of a switch, as flow-mods make them.

    Attributes:
        entries: (table, priority, match) -> (cookie, idle timeout, flags, instructions).
    """

    def __init__(self):
        self.entries = {}

    def take(self, body):
        """Do what the body of a flow-mod says."""
        cookie, mask, table, command, idle, _, priority = struct.unpack_from("!QQBBHHH", body)
        (flags,) = struct.unpack_from("!H", body, 36)
        (length,) = struct.unpack_from("!H", body, 42)
        match = body[40 : 40 + (length + 7 & ~7)]
        place = table, priority, match
        if command == ADD:
            self.entries[place] = cookie, idle, flags, body[40 + len(match) :]
            return
        assert command in (DELETE, DELETE_STRICT)
        for each, (its, *_) in list(self.entries.items()):
            if (each == place or command == DELETE) and its & mask == cookie & mask:
                del self.entries[each]

    def add(self, message):
        """Take whole flow-mods, and nothing else."""
        while message:
            (length,) = struct.unpack_from("!H", message, 2)
            self.take(message[8:length])
            message = message[length:]
        return self

    def parts(self, body, xid, most=3):
        """Answer the body of an OFPMP_FLOW request, in parts of few entries."""
        cookie, mask = struct.unpack_from("!QQ", body, 24)
        found = [
            struct.pack("!HBxIIHHHH4xQQQ", 48 + len(match) + len(does), table, 1, 0, priority,
                        idle, 0, flags, its, 0, 0) + match + does
            for (table, priority, match), (its, idle, flags, does) in self.entries.items()
            if its & mask == cookie & mask
        ]  # fmt: skip
        chunks = [found[at : at + most] for at in range(0, len(found), most)] or [[]]
        return [
            message(
                MULTIPART_REPLY,
                struct.pack("!HH4x", FLOW, chunk is not chunks[-1]) + b"".join(chunk), xid,
            )
            for chunk in chunks
        ]  # fmt: skip


class Roles:
    """Which controller a switch obeys: the specification's section 6.3.4.

    Attributes:
        generation: the greatest generation id so far.
        master: the connection that claimed to be it last, or None.
        requests: (role, generation id) so far, refused ones too.
    """

    def __init__(self, generation=None):
        self.generation, self.master, self.requests = generation, None, []

    def request(self, connection, role, generation):
        """Return whether a request is granted, after doing what it says."""
        self.requests.append((role, generation))
        if role not in (MASTER, SLAVE):
            return True
        if self.generation is not None and generation < self.generation:
            return False
        self.generation = generation
        if role == MASTER:
            self.master = connection
        elif self.master is connection:
            self.master = None
        connection.role = role
        return True

    def of(self, connection):
        """Return the role of a connection now."""
        if connection.role == MASTER and self.master is not connection:
            return SLAVE
        return connection.role


class FakeSwitch:
    """Connects to a controller, by TLS where there is a context, and keeps what it is sent.

    Attributes:
        flow_mods: bodies of the flow-mods so far.
        table: its flow entries; another connection may have the same.
        holds: how many entries each of its tables has room for; None: it does not say.
        roles: whom it obeys; another connection may have the same.
    """

    def __init__(
        self, address, dp_id=0xA1, patience=60.0, table=None, context=None, holds=None, roles=None
    ):
        self.roles, self.role = Roles() if roles is None else roles, EQUAL
        self.dp_id = dp_id
        self.flow_mods = []
        self.table = FlowTable() if table is None else table
        self.holds = holds
        self.refuse = 0  # so many next flow-mods get an error
        self._buffer = b""
        deadline = time.monotonic() + patience
        while True:
            try:
                self.socket = socket.create_connection(address, timeout=patience)
                break
            except ConnectionRefusedError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if context is not None:
            self.socket = context.wrap_socket(self.socket)
        self.send(message(HELLO))

    def send(self, data):
        self.socket.sendall(data)

    def hears(self, seconds=0.0):
        """Tell whether a message, or the connection's end, comes within so many seconds."""
        whole = len(self._buffer) >= 8 and len(self._buffer) >= self._length()
        return whole or bool(select.select([self.socket], [], [], seconds)[0])

    def receive(self):
        """Return (type, xid, body) of the next message, after what must be answered was."""
        while len(self._buffer) < 8 or len(self._buffer) < self._length():
            data = self.socket.recv(65536)
            if not data:
                raise ConnectionResetError("the controller closed the connection")
            self._buffer += data
        _, kind, length, xid = struct.unpack_from("!BBHI", self._buffer)
        body, self._buffer = self._buffer[8:length], self._buffer[length:]
        self._answer(kind, xid, body)
        return kind, xid, body

    def _length(self):
        return struct.unpack_from("!H", self._buffer, 2)[0]

    def _answer(self, kind, xid, body):
        if kind == ECHO_REQUEST:
            self.send(message(ECHO_REPLY, body, xid))
        elif kind == FEATURES_REQUEST:
            self.send(message(FEATURES_REPLY, features(self.dp_id)[8:], xid))
        elif kind == MULTIPART_REQUEST:
            (wanted,) = struct.unpack_from("!H", body)
            if wanted == FLOW:
                self.send(b"".join(self.table.parts(body, xid)))
            elif wanted == TABLE_FEATURES and self.holds is not None:
                for table in range(4):  # each in a part of its own
                    feature = struct.pack("!HB5x32sQQII", 64, table, b"", 0, 0, 3, self.holds)
                    self.send(multipart(wanted, feature, xid, more=table < 3))
            elif wanted == TABLE:
                active = Counter(table for table, _, _ in self.table.entries)
                counts = (struct.pack("!B3xIQQ", n, active[n], 0, 0) for n in range(4))
                self.send(multipart(wanted, b"".join(counts), xid))
            else:
                self.send(multipart(wanted, b"", xid))
        elif kind == ROLE_REQUEST:
            granted = self.roles.request(self, *struct.unpack("!I4xQ", body))
            if granted:
                now = NO_GENERATION if self.roles.generation is None else self.roles.generation
                self.send(message(ROLE_REPLY, struct.pack("!I4xQ", self.roles.of(self), now), xid))
            else:  # OFPET_ROLE_REQUEST_FAILED, OFPRRFC_STALE
                self.send(message(ERROR, struct.pack("!HH", 11, 0) + message(kind, body, xid), xid))
        elif kind == FLOW_MOD and self.roles.of(self) == SLAVE:
            # OFPET_BAD_REQUEST, OFPBRC_IS_SLAVE
            self.send(message(ERROR, struct.pack("!HH", 1, 10) + message(kind, body, xid), xid))
        elif kind == FLOW_MOD and self.refuse:
            self.refuse -= 1
            # OFPET_FLOW_MOD_FAILED, OFPFMFC_TABLE_FULL, and the beginning of what failed
            self.send(message(ERROR, struct.pack("!HH", 5, 1) + message(kind, body, xid), xid))
        elif kind == FLOW_MOD:
            self.flow_mods.append(body)
            self.table.take(body)
        elif kind == BARRIER_REQUEST:
            self.send(message(BARRIER_REPLY, b"", xid))

    def receive_until(self, kind, times=1):
        """Receive until so many messages of a kind have come."""
        while times:
            times -= self.receive()[0] == kind

    def rules(self, command=0):
        """Return (cookie, table, match and instructions) of the rules added so far."""
        return [
            (struct.unpack_from("!Q", body)[0], body[16], body[40:])
            for body in self.flow_mods
            if body[17] == command
        ]

    def close(self):
        self.socket.close()
