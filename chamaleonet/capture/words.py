"""Unaligned integers of either byte order, for the kernels that walk capture files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from chamaleonet.kernels import inlined

if TYPE_CHECKING:
    from numpy.typing import NDArray


@inlined
def u16(buffer: NDArray[np.uint8], at: int, big: bool) -> int:
    """Return the two bytes at ``at``; the caller has checked that they are there."""
    # Numba's int() would keep it unsigned, and unsigned with signed makes a float.
    first, second = np.int64(buffer[at]), np.int64(buffer[at + 1])
    return int(first << 8 | second if big else second << 8 | first)


@inlined
def u32(buffer: NDArray[np.uint8], at: int, big: bool) -> int:
    """Return the four bytes at ``at``; the caller has checked that they are there."""
    first, second = u16(buffer, at, big), u16(buffer, at + 2, big)
    return first << 16 | second if big else second << 16 | first
