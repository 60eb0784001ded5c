"""The decorators, and the way of a kernel's arguments to its image."""

from __future__ import annotations

import functools
import operator
import threading
import weakref
from struct import Struct
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, cast

import numpy as np

from chamaleonet.kernels import images

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

    from numpy.typing import NDArray

F = TypeVar("F", bound="Callable[..., Any]")

# The flags of an array that Numba makes part of its type: C and Fortran order, aligned, writeable
# (NumPy's C API, "Array flags").
_C_ORDER, _FORTRAN_ORDER = 0x0001, 0x0002
_TYPED_FLAGS = _C_ORDER | _FORTRAN_ORDER | 0x0100 | 0x0400

_WORD = Struct("=q")
_lock = threading.Lock()  # one search or compilation at a time


def kernel(function: F) -> F:
    """Compile a function that Python calls: kept on disk, runs without the GIL.

    Its arguments are arrays, named tuples of arrays, booleans and integers, which are 64 bits wide
    (NumPy's unsigned ones keep their type). It should return integers, a tuple of them or None,
    and raise nothing: else it cannot have an image. A named tuple's arrays must keep their shape
    and type, for they are looked at once.

    Raises:
        TypeError: when called with arguments that it cannot be compiled for.
    """
    return cast("F", _Kernel(function))


def inlined(function: F) -> F:
    """Compile a function that only kernels call: LLVM inlines it."""
    return cast("F", _Deferred(lambda: _compiler().inlined(function)))


def intrinsic(name: str) -> Any:
    """Return the function of this name in ``intrinsics``, for kernels to call."""
    return _Deferred(lambda: _compiler().intrinsic(name))


def _compiler() -> ModuleType:
    from chamaleonet.kernels import compiler

    return compiler


class _Deferred:
    """Stands for a function of Numba's until a kernel that calls it is compiled."""

    def __init__(self, resolve: Callable[[], Any]) -> None:
        self._resolve = resolve

    @functools.cached_property
    def _function(self) -> Any:
        return self._resolve()

    @property
    def _numba_type_(self) -> Any:
        """What Numba asks an object for that it does not know."""
        return _compiler().type_of(self._function)


class _Seen(NamedTuple):
    """A tuple of arrays: weak references to them, their kinds and their words."""

    arrays: list[Any]
    kinds: tuple[Any, ...]
    words: bytes


class _Kernel:
    def __init__(self, function: Callable[..., Any]) -> None:
        functools.update_wrapper(self, function)
        self._function = function
        self._images: dict[tuple[Any, ...], images.Image] = {}
        self._by_numba: Callable[..., Any] | None = None  # where there can be no image
        self._seen = _Seen([], (None,), b"")  # none yet

    def __call__(self, *arguments: Any) -> Any:
        if self._by_numba:
            return self._by_numba(*arguments)
        kinds: list[Any] = []
        words: list[bytes] = []
        for argument in arguments:
            if isinstance(argument, np.ndarray):
                kinds += _kind(argument)
                words.append(_words(argument))
            elif isinstance(argument, tuple):
                seen = self._look_at(argument)
                kinds.append(seen.kinds)
                words.append(seen.words)
            else:
                kind, word = _number(argument)
                kinds.append(kind)
                words.append(word)
        key = tuple(kinds)
        image = self._images.get(key) or self._find(key, arguments)
        if image:
            return image.run(b"".join(words))
        return self(*arguments)

    def _look_at(self, arrays: tuple[Any, ...]) -> _Seen:
        """Describe a tuple of arrays; the last one is remembered, but not kept alive."""
        seen = self._seen
        same = (
            len(arrays) == len(seen.arrays)
            and type(arrays) is seen.kinds[0]
            and all(map(operator.is_, map(operator.call, seen.arrays), arrays))
        )
        if not same:
            if not arrays or not all(isinstance(array, np.ndarray) for array in arrays):
                raise TypeError("a kernel takes no other tuples than those of arrays")
            seen = self._seen = _Seen(
                [weakref.ref(array) for array in arrays],
                (type(arrays), *map(_kind, arrays)),
                b"".join(map(_words, arrays)),
            )
        return seen

    def _find(self, key: tuple[Any, ...], arguments: tuple[Any, ...]) -> images.Image | None:
        """Return the image for arguments of these kinds; None if Numba is to run the kernel."""
        expected = self._function.__code__.co_argcount
        if len(arguments) != expected:
            name = self._function.__qualname__
            raise TypeError(f"{name} takes {expected} arguments, not {len(arguments)}")
        with _lock:
            image = self._images.get(key)
            if not image and not self._by_numba:
                image = images.find(self._function, key, arguments)
                if image:
                    self._images[key] = image
                else:
                    self._by_numba = _compiler().by_numba(self._function)
            return image


def _kind(array: NDArray[Any]) -> tuple[Any, int]:
    """Return what of an array is its type in Numba's eyes."""
    flags = array.flags.num & _TYPED_FLAGS
    if flags & _C_ORDER:
        flags &= ~_FORTRAN_ORDER  # one row is in both, and for Numba in the first
    return array.dtype, array.ndim << 16 | flags


def _words(array: NDArray[Any]) -> bytes:
    """Return an array as Numba passes it.

    These are: a counter of references and an owner, here none; how many elements, and how many
    bytes each; the address; the shape; the strides.
    """
    return _struct(array.ndim).pack(
        0, 0, array.size, array.itemsize, array.ctypes.data, *array.shape, *array.strides
    )


@functools.cache
def _struct(dimensions: int) -> Struct:
    return Struct(f"=5q{2 * dimensions}q")


def _number(value: Any) -> tuple[Any, bytes]:
    if isinstance(value, (bool, np.bool_)):
        return bool, _WORD.pack(int(value))
    if isinstance(value, np.unsignedinteger):
        return value.dtype, _WORD.pack(value.astype(np.int64))
    if not isinstance(value, (int, np.signedinteger)):
        raise TypeError(f"a kernel takes no {type(value).__name__}")
    if not -(1 << 63) <= value < 1 << 63:
        raise OverflowError(f"{value} does not fit into 64 bits")
    return int, _WORD.pack(value)
