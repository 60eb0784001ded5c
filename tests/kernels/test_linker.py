"""Object files for the linker, from LLVM's assembly language."""

import ctypes
import mmap

import llvmlite.binding as llvm
import numpy as np
import pytest

from chamaleonet.kernels import images
from chamaleonet.kernels.linker import UnlinkableError, link

llvm.initialize_native_target()
llvm.initialize_native_asmprinter()
pytestmark = pytest.mark.skipif(not images._X86_64, reason="there are images on x86-64 only")


def _object(assembly):
    target = llvm.Target.from_triple(llvm.get_process_triple())
    machine = target.create_target_machine(opt=0, reloc="pic", codemodel="small")
    return machine.emit_object(llvm.parse_assembly(assembly))


@pytest.mark.parametrize("base", [0, 64, 1000])
def test_calls_and_constants_are_found_wherever_the_code_lies(base):
    elf = _object("""
        @numbers = internal constant [3 x i64] [i64 11, i64 22, i64 33]
        @wide = internal constant <8 x i64> <i64 1, i64 2, i64 3, i64 4, i64 5, i64 6, i64 7, i64 8>
        define hidden i64 @third() noinline {
          %at = getelementptr [3 x i64], ptr @numbers, i64 0, i64 2
          %value = load i64, ptr %at
          ret i64 %value
        }
        define i64 @enter(i64 %index) {
          %one = call i64 @third()
          %at = getelementptr i64, ptr @wide, i64 %index
          %two = load volatile i64, ptr %at
          %sum = add i64 %one, %two
          ret i64 %sum
        }
    """)
    code, entry = link(elf, "enter", base)
    memory = mmap.mmap(-1, base + len(code), prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    memory[base:] = code
    address = np.frombuffer(memory, np.uint8).ctypes.data + entry
    function = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64)(address)
    assert [function(i) for i in range(8)] == [34, 35, 36, 37, 38, 39, 40, 41]


@pytest.mark.parametrize(
    ("reason", "assembly"),
    [
        ("away", "declare void @away() define void @enter() { call void @away() ret void }"),
        ("away", "@away = external global i64 define ptr @enter() { ret ptr @away }"),
        ("count", "@count = common global i64 0 define ptr @enter() { ret ptr @count }"),
        ("variables", "@count = global i64 1 define void @enter() { ret void }"),
        ("pointers", "@a = constant i8 1 @b = constant ptr @a define void @enter() { ret void }"),
    ],
)
def test_what_cannot_stand_alone_is_refused(reason, assembly):
    with pytest.raises(UnlinkableError, match=reason):
        link(_object(assembly), "enter", 0)
