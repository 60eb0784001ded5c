"""What kernels need and Python cannot say: a few machine instructions each. Imports Numba."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic


@intrinsic  # type: ignore[untyped-decorator]
def prefetch(_context: Any, array: Any, _index: Any) -> Any:
    """Ask memory for an array's element, to be written soon; never faults, whatever the index."""
    signature = types.void(array, types.int64)

    def generate(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        view = context.make_array(array)(context, builder, arguments[0])
        stride = cgutils.unpack_tuple(builder, view.strides, array.ndim)[0]
        at = cgutils.pointer_add(builder, view.data, builder.mul(arguments[1], stride))
        word = ir.IntType(32)
        prefetch = cgutils.get_or_insert_function(
            builder.module,
            ir.FunctionType(ir.VoidType(), [cgutils.voidptr_t, word, word, word]),
            "llvm.prefetch.p0",
        )
        # for writing, keep in all cache levels, data
        builder.call(prefetch, [builder.bitcast(at, cgutils.voidptr_t), word(1), word(3), word(1)])
        return context.get_dummy_value()

    return signature, generate


@intrinsic  # type: ignore[untyped-decorator]
def copy_bytes(_context: Any, source: Any, _start: Any, _length: Any, target: Any, _at: Any) -> Any:
    """Copy bytes from one contiguous array into another one, unchecked."""
    signature = types.void(source, types.int64, types.int64, target, types.int64)

    def generate(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        origin = context.make_array(source)(context, builder, arguments[0])
        goal = context.make_array(target)(context, builder, arguments[3])
        cgutils.raw_memcpy(
            builder,
            cgutils.pointer_add(builder, goal.data, arguments[4]),
            cgutils.pointer_add(builder, origin.data, arguments[1]),
            arguments[2],
            1,
        )
        return context.get_dummy_value()

    return signature, generate


def _load(bits: int, numba_type: Any) -> Any:
    """Return an intrinsic that loads ``bits`` in network order at a byte offset, unchecked."""

    @intrinsic  # type: ignore[untyped-decorator]
    def load(_context: Any, buffer: Any, _offset: Any) -> Any:
        signature = numba_type(buffer, types.int64)

        def generate(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
            array = context.make_array(buffer)(context, builder, arguments[0])
            at = cgutils.pointer_add(builder, array.data, arguments[1])
            word = ir.IntType(bits)
            value = builder.load(builder.bitcast(at, word.as_pointer()), align=1)
            return builder.bswap(value)

        return signature, generate

    return load


be16 = _load(16, types.uint16)
be32 = _load(32, types.uint32)
be64 = _load(64, types.uint64)
