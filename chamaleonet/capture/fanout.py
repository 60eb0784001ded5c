"""One interface, several rings: the kernel gives each packet to one of them (packet(7))."""

from __future__ import annotations

import contextlib
import socket

from chamaleonet.capture import bpf
from chamaleonet.capture.packetsocket import open_socket
from chamaleonet.capture.spread import Secret, spreading
from chamaleonet.errors import UserError

# linux/if_packet.h, asm-generic/socket.h
_SOL_PACKET, _FANOUT, _FANOUT_DATA = 263, 18, 22
_CBPF, _UNIQUE_ID = 6, 0x2000
_SO_DETACH_FILTER = 27

MOST_RINGS = 64  # the kernel would take 256


def open_group(
    interface: str, number: int, snaplen: int, secret: Secret, *, retire: int = 10
) -> list[socket.socket]:
    """Return sockets with rings among which the packets of an interface are spread.

    All that docs/verdicts.md ties to one flow goes to one of them. The group must stay whole: were
    one socket closed, the kernel would spread all flows anew. So open them where they outlive the
    processes that read them.

    Args:
        interface: name of an Ethernet interface.
        number: of rings, at most MOST_RINGS.
        snaplen: bytes that a frame there has at most, up to spread.MOST_SNAPLEN.
        secret: spread.ways tells with it which one gets what.
        retire: as Ring's.

    Raises:
        UserError: as ``open_socket``, or this kernel knows no such groups.
    """
    group: list[socket.socket] = []
    with contextlib.ExitStack() as on_failure:
        # Until the group is complete, each would get more than its share: let nothing in.
        nothing, room = bpf.packed((bpf.Instruction(bpf.RET | bpf.K, 0, 0, 0),))
        for _ in range(number):
            member = open_socket(interface, retire=retire, accept=nothing)
            on_failure.callback(member.close)
            group.append(member)
        del room
        try:
            _join(group, spreading(secret, snaplen))
        except OSError as error:
            raise UserError(
                f"{interface}: packets cannot be spread over processes: {error.strerror}"
            ) from error
        for member in group:
            member.setsockopt(socket.SOL_SOCKET, _SO_DETACH_FILTER, 0)
        on_failure.pop_all()
    return group


def _join(group: list[socket.socket], program: tuple[bpf.Instruction, ...]) -> None:
    first, *others = group
    first.setsockopt(_SOL_PACKET, _FANOUT, (_CBPF | _UNIQUE_ID) << 16)
    identity = first.getsockopt(_SOL_PACKET, _FANOUT) & 0xFFFF
    for member in others:
        member.setsockopt(_SOL_PACKET, _FANOUT, _CBPF << 16 | identity)
    packed, room = bpf.packed(program)
    first.setsockopt(_SOL_PACKET, _FANOUT_DATA, packed)
    del room
