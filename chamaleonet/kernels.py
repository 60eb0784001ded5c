"""Compiled functions: the one place that configures Numba.

Numba caches a compiled function under the time stamp of the file it is written in, and does not
notice when a function that it inlined from another file changes. So the cache lies in a folder
named after all of the package's kernels' sources: any change gives a new folder.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numba
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

F = TypeVar("F", bound=Callable[..., Any])

_ROOMS = ("capture", "flows", "log")


def _sources_stamp() -> str:
    package = Path(__file__).parent
    stamp = hashlib.sha256()
    for source in (Path(__file__), *(file for room in _ROOMS for file in (package / room).iterdir())):
        if source.suffix == ".py":
            status = source.stat()
            stamp.update(f"{source}{status.st_mtime_ns}{status.st_size}".encode())
    return stamp.hexdigest()[:16]


def _cache_directory() -> Path | None:
    """Return the first folder that can be written: the service's, the user's, or none."""
    bases = [
        os.environ.get("CACHE_DIRECTORY"),  # set by systemd for CacheDirectory=
        os.environ.get("XDG_CACHE_HOME"),
        str(Path("~/.cache").expanduser()),
    ]
    checked = "-checked" if numba.config.BOUNDSCHECK else ""
    for base in filter(None, bases):
        directory = Path(base) / "chamaleonet" / f"kernels-{_sources_stamp()}{checked}"
        try:
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError:
            continue
        # Cached kernels are code: never load what another user could have put there.
        if directory.stat().st_uid == os.getuid() and os.access(directory, os.W_OK):
            return directory
    return None


_directory = None if numba.config.CACHE_DIR else _cache_directory()
if _directory is not None:
    numba.config.CACHE_DIR = str(_directory)
_options: dict[str, Any] = {
    "nogil": True,
    "_nrt": False,  # kernels allocate nothing, so count no references either
    "cache": bool(numba.config.CACHE_DIR),
    "error_model": "numpy",  # no branch for ZeroDivisionError
}


def kernel(function: F) -> F:
    """Compile a function that Python calls: cached on disk, runs without the GIL."""
    compiled: F = numba.njit(**_options)(function)
    return compiled


def inlined(function: F) -> F:
    """Compile a function that only kernels call: LLVM inlines it, nothing of it is cached."""
    compiled: F = numba.njit(nogil=True, _nrt=False, error_model="numpy", forceinline=True)(function)
    return compiled


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
