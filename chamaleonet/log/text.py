"""Numbers and addresses as ASCII text, written into byte arrays by compiled code.

Every function takes ``(..., out, at)`` with ``out`` a uint8 array, writes at index ``at`` and
returns the index after what it wrote. The caller provides the room: see the ``_BYTES`` constants.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from chamaleonet.kernels import CHECKED, inlined, intrinsic

if TYPE_CHECKING:
    from numpy.typing import NDArray

DECIMAL_BYTES = 20  # 2**64 - 1
ADDRESS_BYTES = 39  # eight groups of four digits

_DOT, _COLON, _ZERO, _A = (ord(character) for character in ".:0a")


if CHECKED:

    @inlined
    def write_bytes(
        source: NDArray[np.uint8], start: int, length: int, out: NDArray[np.uint8], at: int
    ) -> int:
        """Copy ``length`` bytes of ``source`` from index ``start``."""
        for i in range(length):
            out[at + i] = source[start + i]
        return at + length

else:
    _copy_bytes = intrinsic("copy_bytes")

    @inlined
    def write_bytes(
        source: NDArray[np.uint8], start: int, length: int, out: NDArray[np.uint8], at: int
    ) -> int:
        """Copy ``length`` bytes of ``source`` from index ``start``."""
        _copy_bytes(source, start, length, out, at)
        return at + length


@inlined
def write_decimal(value: Any, out: NDArray[np.uint8], at: int) -> int:
    """Write an unsigned number, at most DECIMAL_BYTES."""
    number = np.uint64(value)
    ten = np.uint64(10)
    digits = 1
    rest = number // ten
    while rest > 0:
        digits += 1
        rest //= ten
    for i in range(at + digits - 1, at - 1, -1):
        out[i] = _ZERO + number % ten
        number //= ten
    return at + digits


@inlined
def _write_ipv4(low: Any, out: NDArray[np.uint8], at: int) -> int:
    at = write_decimal((np.uint32(low) >> 24) & 255, out, at)
    for shift in (16, 8, 0):
        out[at] = _DOT
        at = write_decimal((np.uint32(low) >> shift) & 255, out, at + 1)
    return at


@inlined
def _group(high: Any, low: Any, i: int) -> Any:
    word = np.uint64(high) if i < 4 else np.uint64(low)
    return np.int64((word >> np.uint64(48 - 16 * (i & 3))) & np.uint64(0xFFFF))


@inlined
def _write_ipv6(high: Any, low: Any, out: NDArray[np.uint8], at: int) -> int:
    """Write an IPv6 address as RFC 5952 wants it.

    Lower case, no leading zeros, and "::" for the longest run of two or more zero groups, the
    first of them where several are as long (sections 4.1-4.3).
    """
    best, longest, run = -1, 1, 0
    for i in range(8):
        run = run + 1 if _group(high, low, i) == 0 else 0
        if run > longest:
            longest, best = run, i - run + 1
    i = 0
    while i < 8:
        if i == best:
            out[at] = out[at + 1] = _COLON
            at += 2
            i += longest
            continue
        if i > 0 and i != best + longest:
            out[at] = _COLON
            at += 1
        group = _group(high, low, i)
        started = False
        for shift in (12, 8, 4, 0):
            digit = (group >> shift) & 15
            started = started or digit > 0 or shift == 0
            if started:
                out[at] = _ZERO + digit if digit < 10 else _A + digit - 10
                at += 1
        i += 1
    return at


@inlined
def write_address(version: int, high: Any, low: Any, out: NDArray[np.uint8], at: int) -> int:
    """Write an IPv4 or IPv6 address, at most ADDRESS_BYTES."""
    if version == 4:
        return _write_ipv4(low, out, at)
    return _write_ipv6(high, low, out, at)
