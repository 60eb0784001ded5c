"""Big-endian loads from a byte buffer, for kernels.

Compiled, a load is one instruction and a byte swap, and checks nothing: the caller has compared
the offset with the captured length. With NUMBA_BOUNDSCHECK=1, as the decoder's fuzz tests run, the
same names read byte by byte through the array, so that a load beyond its end raises IndexError.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from chamaleonet.kernels import CHECKED, inlined, intrinsic

if CHECKED:

    @inlined
    def be16(buffer: Any, offset: int) -> Any:
        """Return the uint16 at ``offset``."""
        return np.uint16((np.uint32(buffer[offset]) << 8) | buffer[offset + 1])

    @inlined
    def be32(buffer: Any, offset: int) -> Any:
        """Return the uint32 at ``offset``."""
        value = np.uint64(0)
        for i in range(4):
            value = (value << np.uint64(8)) | np.uint64(buffer[offset + i])
        return np.uint32(value)

    @inlined
    def be64(buffer: Any, offset: int) -> Any:
        """Return the uint64 at ``offset``."""
        value = np.uint64(0)
        for i in range(8):
            value = (value << np.uint64(8)) | np.uint64(buffer[offset + i])
        return value

else:
    be16, be32, be64 = intrinsic("be16"), intrinsic("be32"), intrinsic("be64")
