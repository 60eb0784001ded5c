"""Big-endian loads from a byte buffer, for kernels.

Compiled, a load is one instruction and a byte swap, and checks nothing: the caller has compared
the offset with the captured length. With NUMBA_BOUNDSCHECK=1, as the decoder's fuzz tests run, the
same names read byte by byte through the array, so that a load beyond its end raises IndexError.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from chamaleonet.kernels import inlined


def _load(bits: int, numba_type: Any) -> Any:
    """Return an intrinsic that loads ``bits`` in network order at a byte offset."""

    @intrinsic  # type: ignore[untyped-decorator]
    def load(_context: Any, buffer: Any, offset: Any) -> Any:
        signature = numba_type(buffer, types.int64)

        def generate(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
            array = context.make_array(buffer)(context, builder, arguments[0])
            at = cgutils.pointer_add(builder, array.data, arguments[1])
            word = ir.IntType(bits)
            value = builder.load(builder.bitcast(at, word.as_pointer()), align=1)
            return builder.bswap(value)

        return signature, generate

    return load


if numba.config.BOUNDSCHECK:

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
    be16 = _load(16, types.uint16)
    be32 = _load(32, types.uint32)
    be64 = _load(64, types.uint64)
