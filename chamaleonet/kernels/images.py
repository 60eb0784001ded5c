"""Where images lie, which of them fits, and how one is mapped.

An image is the machine code of one kernel for one combination of argument types. Images lie in a
folder that is named after all else that they depend on: the package's sources, since a kernel
takes in functions and constants from anywhere; the compilers; the processor.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import hashlib
import mmap
import os
import sys
from importlib.machinery import PathFinder
from pathlib import Path
from struct import Struct
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_ROOMS = ("capture", "flows", "kernels", "log")  # what has to do with kernels
_COMPILERS = ("numba", "llvmlite")

# Digest of all that follows; where to enter the code, or 0 for a kernel that can have no image;
# how many integers it returns, and whether as a tuple. As long as the widest vectors are aligned.
_HEADER = Struct("=16sIH?41x")
HEADER_BYTES = _HEADER.size
_DIGEST_BYTES = 16

_SETTINGS = sorted(item for item in os.environ.items() if item[0].startswith("NUMBA_"))
CHECKED = os.environ.get("NUMBA_BOUNDSCHECK", "0") not in {"", "0"}
_X86_64 = sys.platform == "linux" and os.uname().machine == "x86_64" and sys.maxsize > 1 << 32


class Image:
    """A kernel's machine code, ready to run.

    Args:
        file: an image file, mapped so that it can be executed.

    Attributes:
        is_empty: it holds no code, but tells that the kernel can have no image.
    """

    def __init__(self, file: mmap.mmap) -> None:
        _, entry, results, self._is_tuple = _HEADER.unpack_from(file)
        self.is_empty = entry == 0
        self._file = np.frombuffer(file, np.uint8)  # keeps it mapped
        prototype = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p)
        self._function = prototype(self._file.ctypes.data + entry)
        self._results = ctypes.c_int64 * results

    def run(self, words: bytes) -> Any:
        """Call the kernel with its arguments as words of 64 bits; meanwhile, others may run."""
        results = self._results()
        self._function(results, words)
        if self._is_tuple:
            return tuple(results)
        return results[0] if len(results) else None


def pack(code: bytes, entry: int, results: int, is_tuple: bool) -> bytes:
    """Return an image file; ``entry`` counts from its first byte."""
    body = _HEADER.pack(b"", entry, results, is_tuple)[_DIGEST_BYTES:] + code
    return _digest(body) + body


def find(
    function: Callable[..., Any], kinds: tuple[Any, ...], arguments: tuple[Any, ...]
) -> Image | None:
    """Return a kernel's image, which is compiled if need be; None if it can have none.

    Args:
        function: the kernel, in Python.
        kinds: what tells the arguments' types from others.
        arguments: the same as examples, for the compiler.
    """
    folder = directory()
    # Numba's own settings are for Numba itself; with bounds checks, kernels raise.
    if not folder or not _X86_64 or _SETTINGS:
        return None
    try:
        source = Path(function.__code__.co_filename).read_bytes()
        name = f"{function.__module__}.{function.__qualname__}"
        path = folder / f"{name}-{_digest(source, repr(kinds).encode()).hex()}"
        image = _load(path)
        if not image and os.access(folder, os.W_OK):
            from chamaleonet.kernels import compiler

            compiler.compile_image(function, arguments, path)
            image = _load(path)
    except OSError:  # no source, no space, or a file system from which nothing may be executed
        return None
    return None if not image or image.is_empty else image


def _load(path: Path) -> Image | None:
    """Map an image file; None if there is none, or not as it was written."""
    try:
        with path.open("rb") as file:
            mapped = mmap.mmap(file.fileno(), 0, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_EXEC)
    except (FileNotFoundError, ValueError):  # ValueError: nothing in it to map
        return None
    view = memoryview(mapped)
    whole = len(view) >= HEADER_BYTES and _digest(view[_DIGEST_BYTES:]) == view[:_DIGEST_BYTES]
    return Image(mapped) if whole else None


@functools.cache
def directory() -> Path | None:
    """Return the first folder for images that can be had: the service's, the user's, or none."""
    bases = [
        os.environ.get("CACHE_DIRECTORY"),  # set by systemd for CacheDirectory=
        os.environ.get("XDG_CACHE_HOME"),
    ]
    with contextlib.suppress(RuntimeError):  # a user without a home, as in some containers
        bases.append(str(Path("~/.cache").expanduser()))
    stamp = _digest(*_dependencies()).hex()
    for base in filter(None, bases):
        folder = Path(base, "chamaleonet", f"kernels-{stamp}")
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            status = folder.stat()
        except OSError:
            continue
        # Images are code: never run what another user could have put there.
        if status.st_uid == os.geteuid() and not status.st_mode & 0o022:
            return folder
    return None


def are_missing() -> bool:
    """Tell whether nothing was compiled here yet, so that what is asked for will take a while."""
    folder = directory()
    return folder is None or not any(folder.iterdir())


def _dependencies() -> Iterator[bytes]:
    package = Path(__file__).parent.parent
    for room in _ROOMS:
        for source in sorted((package / room).rglob("*.py")):
            yield str(source.relative_to(package)).encode()
            yield source.read_bytes()
    for name in _COMPILERS:
        found = PathFinder.find_spec(name)
        if found and found.origin:  # importlib.metadata would take 20 times as long
            yield Path(found.origin).with_name("_version.py").read_bytes()
    yield f"{sys.version} {np.__version__} {_SETTINGS}".encode()
    yield from _processor()


def _processor() -> Iterator[bytes]:
    """Yield what Linux says of the first processor's model and features."""
    with contextlib.suppress(OSError), Path("/proc/cpuinfo").open("rb") as file:
        for line in file:
            if line.startswith((b"vendor_id", b"cpu family", b"model\t", b"flags")):
                yield line
            elif line == b"\n":
                return


def _digest(*parts: Any) -> bytes:
    digest = hashlib.blake2b(digest_size=_DIGEST_BYTES)
    for part in parts:
        digest.update(part)
    return digest.digest()
