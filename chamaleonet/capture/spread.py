"""Which process judges a packet: a classic BPF program that the kernel runs before it chooses.

Whatever docs/verdicts.md ties to one flow must go to one process: both directions, fragments, and
ICMP errors by the packet that they *quote*. So the value is a hash of the unordered pair of
addresses, for an ICMP error of the quoted addresses. It is keyed, so that nobody can choose
addresses that all go to one process.

PACKET_FANOUT_HASH, the kernel's own way, hashes the outer addresses of an ICMP error: those of
the router and the client, by which the error would miss its flow.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np

from chamaleonet.capture import bpf
from chamaleonet.capture.bpf import ADD, AND, LSH, MUL, RSH, XOR, Assembler, B, H, W

if TYPE_CHECKING:
    from numpy.typing import NDArray

# A packet that is cut to so many bytes is followed to its end, whatever it is made of.
MOST_SNAPLEN = 512

_TAGS, _IPV4, _IPV6 = (0x8100, 0x88A8), 0x0800, 0x86DD
_ICMP, _ICMPV6 = 1, 58
_ICMP_ERRORS, _ICMPV6_ERRORS = (3, 11, 12), (1, 3, 4)
_HOP_BY_HOP, _ROUTING, _FRAGMENT, _AUTHENTICATION, _DESTINATION = 0, 43, 44, 51, 60
_ETHERNET_HEADER, _TAG, _IPV6_HEADER, _ICMP_HEADER = 14, 4, 40, 8
_LEAST_EXTENSION = 8

_HEADER, _NEXT, _SUM = 0, 1, 2  # cells of M: where the IP header is; next header; a partial hash


class Secret(NamedTuple):
    """The hash's constants, another set each time."""

    key: int
    first: int  # odd
    second: int  # odd

    @classmethod
    def new(cls) -> Self:
        """Return constants that nobody can foresee."""
        return cls(secrets.randbits(32), secrets.randbits(32) | 1, secrets.randbits(32) | 1)


def spreading(secret: Secret, snaplen: int) -> tuple[bpf.Instruction, ...]:
    """Return the program: it begins at the header after the MAC addresses, EtherType and one tag.

    The kernel takes the outermost VLAN tag off before; it leaves the EtherType after that.

    Args:
        secret: the hash's constants.
        snaplen: bytes of a frame that are there at most, up to MOST_SNAPLEN: so deep are stacks
            of tags and chains of IPv6 extension headers followed. What is not there when a packet
            is judged cannot tie it to a flow.
    """
    assert snaplen <= MOST_SNAPLEN
    code = Assembler()
    _link_layer(code, (snaplen - _ETHERNET_HEADER) // _TAG)
    _ipv4(code, secret)
    _ipv6(code, secret, max(0, snaplen - _ETHERNET_HEADER - _IPV6_HEADER) // _LEAST_EXTENSION)
    return code.program()


def ways(
    secret: Secret, is_ipv4: NDArray[np.bool_], *addresses: tuple[NDArray[Any], NDArray[Any]]
) -> NDArray[np.uint32]:
    """Return what the program returns for packets between pairs of addresses.

    Args:
        secret: the hash's constants.
        is_ipv4: shape (n,); all columns have it.
        addresses: the two; each as its high and its low uint64, as in flows.records.

    Returns:
        uint32, shape (n,).
    """
    total = np.zeros(len(is_ipv4), np.uint32)
    for high, low in addresses:
        value = np.zeros(len(is_ipv4), np.uint32)
        for words in (high >> np.uint64(32), high, low >> np.uint64(32), low):
            hashed = (words.astype(np.uint32) + value ^ np.uint32(secret.key)) * np.uint32(
                secret.first
            )
            hashed = (hashed ^ hashed >> np.uint32(16)) * np.uint32(secret.second)
            hashed ^= hashed >> np.uint32(15)
            value = np.where(is_ipv4 & (words is not low), np.uint32(0), hashed)
        total += value
    return total ^ total >> np.uint32(16)


def _link_layer(code: Assembler, tags: int) -> None:
    """Let X be where the IP header is, and go on by its version."""
    code.emit(bpf.LDX | bpf.W | bpf.IMM, 0)
    code.emit(bpf.LD | W | bpf.ABS, bpf.ETHERTYPE)
    for nth in range(tags):
        for tag in _TAGS:
            code.jump_if_equal(tag, f"tag {nth}")
        code.jump("untagged")
        code.place(f"tag {nth}")
        code.load(H, 2)
        code.keep(_NEXT)
        _advance(code, _TAG)
        code.load_kept(_NEXT)
    code.place("untagged")
    code.keep_index(_HEADER)
    code.jump_if_equal(_IPV4, "IPv4")
    code.jump_if_equal(_IPV6, "to IPv6")
    code.emit(bpf.RET | bpf.K, 0)
    code.place("to IPv6")
    code.jump("IPv6")


def _ipv4(code: Assembler, secret: Secret) -> None:
    code.place("IPv4")
    code.load(B, 9)
    code.jump_if_equal(_ICMP, "ICMP")
    code.jump("IPv4 pair")
    code.place("ICMP")
    code.load(B, 0)
    code.compute(AND, 15)
    code.compute(LSH, 2)
    _to_quote(code, _ICMP_ERRORS, "IPv4 pair")
    code.place("IPv4 pair")
    _hash_pair(code, secret, (12,), (16,))


def _ipv6(code: Assembler, secret: Secret, extensions: int) -> None:
    code.place("IPv6")
    code.load(B, 6)
    code.keep(_NEXT)
    _advance(code, _IPV6_HEADER)
    for nth in range(extensions):
        _extension(code, f" {nth}")
    code.place("upper layer")
    code.load_kept(_NEXT)
    code.jump_if_equal(_ICMPV6, "ICMPv6")
    code.jump("IPv6 pair")
    code.place("ICMPv6")
    code.emit(bpf.LD | bpf.IMM, 0)
    _to_quote(code, _ICMPV6_ERRORS, "IPv6 pair")
    code.place("IPv6 pair")
    _hash_pair(code, secret, range(8, 24, 4), range(24, 40, 4))


def _extension(code: Assembler, nth: str) -> None:
    """Step over an IPv6 extension header at X, if there is one."""
    code.load_kept(_NEXT)
    for kind in (_HOP_BY_HOP, _ROUTING, _DESTINATION):
        code.jump_if_equal(kind, "options" + nth)
    code.jump_if_equal(_FRAGMENT, "fragment" + nth)
    code.jump_if_equal(_AUTHENTICATION, "authentication" + nth)
    code.jump("upper layer")
    for name, units, shift in (("options", 1, 3), ("authentication", 2, 2)):
        code.place(name + nth)
        code.load(B, 0)
        code.keep(_NEXT)
        code.load(B, 1)
        code.compute(ADD, units)
        code.compute(LSH, shift)
        code.jump("step" + nth)
    code.place("fragment" + nth)
    code.load(B, 0)
    code.keep(_NEXT)
    code.emit(bpf.LD | bpf.IMM, 8)
    code.place("step" + nth)
    code.compute_by_index(ADD)
    code.to_index()


def _to_quote(code: Assembler, errors: tuple[int, ...], pair: str) -> None:
    """Let M[_HEADER] be the quoted header, if the ICMP message at X + A is an error."""
    code.compute_by_index(ADD)
    code.to_index()
    code.load(B, 0)
    for kind in errors:
        code.jump_if_equal(kind, f"quote of {pair}")
    code.jump(pair)
    code.place(f"quote of {pair}")
    _advance(code, _ICMP_HEADER)
    code.keep_index(_HEADER)


def _advance(code: Assembler, size: int) -> None:
    code.from_index()
    code.compute(ADD, size)
    code.to_index()


def _hash_pair(
    code: Assembler,
    secret: Secret,
    source: range | tuple[int, ...],
    target: range | tuple[int, ...],
) -> None:
    """Return the sum of the addresses' hashes, which is the same in both directions."""
    _hash_address(code, secret, source)
    code.keep(_SUM)
    _hash_address(code, secret, target)
    code.index_kept(_SUM)
    code.compute_by_index(ADD)
    _fold(code, 16)
    code.emit(bpf.RET | bpf.RET_A)


def _hash_address(code: Assembler, secret: Secret, words: range | tuple[int, ...]) -> None:
    for nth, word in enumerate(words):
        if nth:
            code.keep(_NEXT)
        code.index_kept(_HEADER)
        code.load(W, word)
        if nth:
            code.index_kept(_NEXT)
            code.compute_by_index(ADD)
        code.compute(XOR, secret.key)
        code.compute(MUL, secret.first)
        _fold(code, 16)
        code.compute(MUL, secret.second)
        _fold(code, 15)


def _fold(code: Assembler, bits: int) -> None:
    """A ^= A >> bits."""
    code.to_index()
    code.compute(RSH, bits)
    code.compute_by_index(XOR)
