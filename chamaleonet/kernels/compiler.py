"""A Python function becomes an image. Importing this imports Numba."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import llvmlite.binding as llvm
import numba
import numpy as np
from numba.core import codegen, types
from numba.core.compiler import Flags, compile_extra
from numba.core.compiler_lock import global_compiler_lock
from numba.core.errors import NumbaError
from numba.core.registry import cpu_target

from chamaleonet.kernels import images, intrinsics
from chamaleonet.kernels.linker import UnlinkableError, link

if TYPE_CHECKING:
    from collections.abc import Callable

# LLVM makes calls of the C library out of some loops. An image brings its own along: it is loaded
# by nobody who could find others.
_LIBRARY = """
define hidden ptr @memset(ptr %to, i32 %byte, i64 %size) {
start:
  %value = trunc i32 %byte to i8
  br label %test
test:
  %i = phi i64 [ 0, %start ], [ %next, %body ]
  %more = icmp ult i64 %i, %size
  br i1 %more, label %body, label %end
body:
  %target = getelementptr i8, ptr %to, i64 %i
  store i8 %value, ptr %target
  %next = add i64 %i, 1
  br label %test
end:
  ret ptr %to
}
define hidden ptr @memcpy(ptr %to, ptr %from, i64 %size) {
start:
  %last = sub i64 %size, 16
  %small = icmp ult i64 %size, 16
  br i1 %small, label %test, label %wide
wide:
  %at = phi i64 [ 0, %start ], [ %step, %wide ]
  %wide_source = getelementptr i8, ptr %from, i64 %at
  %wide_value = load <16 x i8>, ptr %wide_source, align 1
  %wide_target = getelementptr i8, ptr %to, i64 %at
  store <16 x i8> %wide_value, ptr %wide_target, align 1
  %following = add i64 %at, 16
  %beyond = icmp ugt i64 %following, %last
  %step = select i1 %beyond, i64 %last, i64 %following
  %done = icmp eq i64 %at, %last
  br i1 %done, label %end, label %wide
test:
  %i = phi i64 [ 0, %start ], [ %next, %body ]
  %more = icmp ult i64 %i, %size
  br i1 %more, label %body, label %end
body:
  %source = getelementptr i8, ptr %from, i64 %i
  %value = load i8, ptr %source
  %target = getelementptr i8, ptr %to, i64 %i
  store i8 %value, ptr %target
  %next = add i64 %i, 1
  br label %test
end:
  ret ptr %to
}
"""
# Takes the results' place and the arguments, in words, and calls a function as Numba compiled it:
# status kernel(results, where to tell of an exception, the arguments).
_ENTRY = "enter"
_CALL = """
declare i32 @"{kernel}"({types})
define void @{entry}(ptr %results, ptr %words) {{
  %exception = alloca ptr
{loads}
  call i32 @"{kernel}"(ptr %results, ptr %exception{arguments})
  ret void
}}
"""

_options: dict[str, Any] = {
    "nogil": True,
    "_nrt": False,  # kernels allocate nothing, so count no references either
    "error_model": "numpy",  # no branch for ZeroDivisionError
}


def inlined(function: Callable[..., Any]) -> Any:
    """Return a function that LLVM is to inline."""
    return numba.njit(**_options, forceinline=True)(function)


def intrinsic(name: str) -> Any:
    """Return a function that is made of LLVM's instructions."""
    return getattr(intrinsics, name)


def type_of(function: Any) -> Any:
    """Return the type of a function of Numba's."""
    return cpu_target.typing_context.resolve_value_type(function)


def by_numba(function: Callable[..., Any]) -> Any:
    """Return a kernel that Numba itself runs, and caches if it can."""
    folder = images.directory()
    if not numba.config.CACHE_DIR and folder and os.access(folder, os.W_OK):
        numba.config.CACHE_DIR = str(folder)
    return numba.njit(**_options, cache=bool(numba.config.CACHE_DIR))(function)


def compile_image(function: Callable[..., Any], arguments: tuple[Any, ...], path: Path) -> None:
    """Compile a kernel for such arguments and write its image, an empty one if it can have none.

    Raises:
        TypeError: it cannot be compiled for them.
        OSError: the image cannot be written.
    """
    try:
        image = _image(function, arguments)
    except UnlinkableError:
        image = images.pack(b"", 0, 0, False)
    # Others may do the same at this time; whoever reads finds a whole image or none.
    descriptor, name = tempfile.mkstemp(dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(image)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


@global_compiler_lock  # type: ignore[untyped-decorator]
def _image(function: Callable[..., Any], arguments: tuple[Any, ...]) -> bytes:
    flags = Flags()
    flags.no_cpython_wrapper = flags.no_cfunc_wrapper = True
    flags.nrt = _options["_nrt"]
    flags.error_model = _options["error_model"]
    typing, target = cpu_target.typing_context, cpu_target.target_context
    typing.refresh()
    target.refresh()
    try:
        compiled = compile_extra(
            typing, target, function, tuple(map(_type, arguments)), None, flags, {}
        )
    except NumbaError as error:
        raise TypeError(f"{function.__qualname__} cannot be compiled: {error}") from error
    results, is_tuple = _results(compiled.signature.return_type)
    try:
        elf = _object(compiled)
    except RuntimeError as error:  # what llvmlite raises
        raise UnlinkableError(str(error)) from error
    code, entry = link(elf, _ENTRY, images.HEADER_BYTES)
    return images.pack(code, entry, results, is_tuple)


def _type(argument: Any) -> Any:
    if isinstance(argument, (np.ndarray, tuple, np.unsignedinteger)):
        return numba.typeof(argument)
    return types.boolean if isinstance(argument, (bool, np.bool_)) else types.int64


def _results(kind: Any) -> tuple[int, bool]:
    """Return how many integers a kernel returns, and whether they are a tuple."""
    if kind == types.none:
        return 0, False
    is_tuple = isinstance(kind, types.BaseTuple)
    if any(types.unliteral(part) != types.int64 for part in (kind if is_tuple else [kind])):
        raise UnlinkableError(f"it returns {kind}")
    return (len(kind) if is_tuple else 1), is_tuple


def _object(compiled: Any) -> bytes:
    """Return a compiled kernel, called by its arguments in words, as an object file."""
    triple = llvm.get_process_triple()
    kernel = compiled.fndesc.llvm_func_name
    module = llvm.parse_assembly(compiled.library.get_llvm_str())
    parameters = [str(parameter.type) for parameter in module.get_function(kernel).arguments]
    loads, arguments = [], []
    for n, kind in enumerate(parameters[2:]):
        loads.append(f"  %at{n} = getelementptr i64, ptr %words, i64 {n}")
        loads.append(f"  %value{n} = load {kind}, ptr %at{n}")  # little-endian: the low bytes
        arguments.append(f", {kind} %value{n}")
    call = _CALL.format(
        entry=_ENTRY, kernel=kernel, types=", ".join(parameters),
        loads="\n".join(loads), arguments="".join(arguments),
    )  # fmt: skip
    for text in (call, _LIBRARY):
        module.link_in(llvm.parse_assembly(text))
    module.verify()
    machine = llvm.Target.from_triple(triple).create_target_machine(
        cpu=llvm.get_host_cpu_name(),
        features=codegen.get_host_cpu_features(),
        opt=3,
        reloc="pic",
        codemodel="small",
    )
    return bytes(machine.emit_object(module))
