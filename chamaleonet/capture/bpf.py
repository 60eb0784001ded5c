"""An assembler for classic BPF, the small machine that the kernel runs on every packet.

It has an accumulator A, an index register X and 16 words of scratch memory M (S. McCanne and
V. Jacobson, "The BSD Packet Filter", USENIX Winter 1993; Documentation/networking/filter.rst).
Jumps go forward only, so every program ends; one that reads beyond its packet returns 0.
"""

from __future__ import annotations

import ctypes
import struct
from typing import NamedTuple

# linux/bpf_common.h: classes, sizes, modes, operations, sources
LD, LDX, ST, STX, ALU, JMP, RET, MISC = range(8)
W, H, B = 0x00, 0x08, 0x10
IMM, ABS, IND, MEM = 0x00, 0x20, 0x40, 0x60
ADD, MUL, AND, LSH, RSH, XOR = 0x00, 0x20, 0x50, 0x60, 0x70, 0xA0
JA, JEQ = 0x00, 0x10
K, X = 0x00, 0x08
RET_A = 0x10
TAX, TXA = 0x00, 0x80

# linux/filter.h: loading from here gives what the kernel knows of the packet.
ANCILLARY = 0xFFFFF000
ETHERTYPE = ANCILLARY + 0  # SKF_AD_PROTOCOL

MOST_INSTRUCTIONS = 4096  # BPF_MAXINSNS
_FARTHEST = 255  # instructions that a conditional jump may skip


class Instruction(NamedTuple):
    """One instruction: struct sock_filter."""

    code: int
    jump_true: int
    jump_false: int
    k: int


class Assembler:
    """Collects instructions; places that are jumped to have names."""

    def __init__(self) -> None:
        self._lines: list[tuple[int, str, int]] = []  # code, label or "", k
        self._labels: dict[str, int] = {}

    def emit(self, code: int, k: int = 0) -> None:
        """Add an instruction that goes on to the next."""
        self._lines.append((code, "", k & 0xFFFFFFFF))

    def jump(self, label: str) -> None:
        """Go on at a label."""
        self._lines.append((JMP | JA, label, 0))

    def jump_if_equal(self, value: int, label: str) -> None:
        """Go on at a label if A is this value, else at the next instruction."""
        self._lines.append((JMP | JEQ | K, label, value))

    def place(self, label: str) -> None:
        """Let a label be the next instruction."""
        assert label not in self._labels, label
        self._labels[label] = len(self._lines)

    def load(self, size: int, offset: int) -> None:
        """A = the W, H or B at X + offset."""
        self.emit(LD | size | IND, offset)

    def load_kept(self, cell: int) -> None:
        """A = M[cell]."""
        self.emit(LD | W | MEM, cell)

    def index_kept(self, cell: int) -> None:
        """X = M[cell]."""
        self.emit(LDX | W | MEM, cell)

    def keep(self, cell: int) -> None:
        """M[cell] = A."""
        self.emit(ST, cell)

    def keep_index(self, cell: int) -> None:
        """M[cell] = X."""
        self.emit(STX, cell)

    def compute(self, operation: int, value: int) -> None:
        """A = A operation value."""
        self.emit(ALU | operation | K, value)

    def compute_by_index(self, operation: int) -> None:
        """A = A operation X."""
        self.emit(ALU | operation | X)

    def to_index(self) -> None:
        """X = A."""
        self.emit(MISC | TAX)

    def from_index(self) -> None:
        """A = X."""
        self.emit(MISC | TXA)

    def program(self) -> tuple[Instruction, ...]:
        """Return the program."""
        assert len(self._lines) <= MOST_INSTRUCTIONS
        found = []
        for at, (code, label, k) in enumerate(self._lines):
            skip = self._labels[label] - at - 1 if label else 0
            assert skip >= 0, f"{label}: jumps go forward only"
            if code == JMP | JA:
                found.append(Instruction(code, 0, 0, skip))
            else:
                assert skip <= _FARTHEST, f"{label} is too far"
                found.append(Instruction(code, skip, 0, k))
        return tuple(found)


def packed(program: tuple[Instruction, ...]) -> tuple[bytes, object]:
    """Return a struct sock_fprog for setsockopt(2), and what must live until it is called."""
    code = b"".join(struct.pack("HBBI", *instruction) for instruction in program)
    room = ctypes.create_string_buffer(code, len(code))
    return struct.pack("HP", len(program), ctypes.addressof(room)), room
