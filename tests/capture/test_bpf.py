import struct

import pytest

from chamaleonet.capture import bpf
from chamaleonet.capture.bpf import Assembler, Instruction
from tests.capture.machine import run


def test_a_program_runs():
    code = Assembler()
    code.emit(bpf.LDX | bpf.IMM, 2)
    code.load(bpf.H, 1)
    code.jump_if_equal(0x0405, "found")
    code.emit(bpf.RET | bpf.K, 1)
    code.place("found")
    code.keep(3)
    code.from_index()
    code.compute(bpf.LSH, 4)
    code.index_kept(3)
    code.compute_by_index(bpf.ADD)
    code.emit(bpf.RET | bpf.RET_A)
    program = code.program()
    assert run(program, bytes([1, 2, 3, 4, 5])) == 0x0405 + 32
    assert run(program, bytes([1, 2, 3, 4, 6])) == 1
    assert run(program, bytes([1, 2, 3, 4])) == 0


def test_jumps_skip_as_many_instructions_as_lie_between():
    code = Assembler()
    code.jump("end")
    code.jump_if_equal(7, "end")
    code.place("end")
    code.emit(bpf.RET | bpf.K, 5)
    assert code.program() == (
        Instruction(bpf.JMP | bpf.JA, 0, 0, 1),
        Instruction(bpf.JMP | bpf.JEQ, 0, 0, 7),
        Instruction(bpf.RET | bpf.K, 0, 0, 5),
    )


@pytest.mark.parametrize("skipped", [255, 256])
def test_a_conditional_jump_that_is_too_far_is_a_mistake(skipped):
    code = Assembler()
    code.jump_if_equal(7, "end")
    for _ in range(skipped):
        code.to_index()
    code.place("end")
    code.emit(bpf.RET | bpf.K, 0)
    if skipped == 255:
        assert code.program()[0].jump_true == 255
    else:
        with pytest.raises(AssertionError, match="too far"):
            code.program()


def test_a_program_is_handed_over_as_the_kernel_wants_it():
    packed, room = bpf.packed((Instruction(bpf.RET | bpf.K, 0, 0, 0x01020304),))
    assert struct.unpack("HP", packed)[0] == 1
    assert room.raw == struct.pack("HBBI", 6, 0, 0, 0x01020304)
