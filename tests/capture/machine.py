"""A classic BPF machine, as slow as it is plain, and what the kernel does before it runs one."""

from __future__ import annotations

from chamaleonet.capture import bpf

WORD = 0xFFFFFFFF
SIZES = {bpf.W: 4, bpf.H: 2, bpf.B: 1}
OPERATIONS = {
    bpf.ADD: lambda a, b: a + b, bpf.MUL: lambda a, b: a * b, bpf.AND: lambda a, b: a & b,
    bpf.LSH: lambda a, b: a << b, bpf.RSH: lambda a, b: a >> b, bpf.XOR: lambda a, b: a ^ b,
}  # fmt: skip


def run(program, packet, ethertype=0):
    """Return what a program returns for a packet."""
    a = x = at = 0
    memory = [None] * 16  # reading what was not written fails
    while True:
        code, jump_true, jump_false, k = program[at]
        at += 1
        kind, mode = code & 7, code & 0xE0
        if kind == bpf.LD and k == bpf.ETHERTYPE and mode == bpf.ABS:
            a = ethertype
        elif kind == bpf.LD and mode in (bpf.ABS, bpf.IND):
            offset = (k + (x if mode == bpf.IND else 0)) & WORD
            size = SIZES[code & 0x18]
            if offset + size > len(packet):
                return 0
            a = int.from_bytes(packet[offset : offset + size], "big")
        elif kind in (bpf.LD, bpf.LDX):
            value = k if mode == bpf.IMM else memory[k]
            assert value is not None
            a, x = (value, x) if kind == bpf.LD else (a, value)
        elif kind in (bpf.ST, bpf.STX):
            memory[k] = a if kind == bpf.ST else x
        elif kind == bpf.ALU:
            a = OPERATIONS[code & 0xF0](a, x if code & bpf.X else k) & WORD
        elif kind == bpf.JMP:
            at += k if code & 0xF0 == bpf.JA else jump_true if a == k else jump_false
        elif kind == bpf.MISC:
            a, x = (x, x) if code & bpf.TXA else (a, a)
        else:
            return a if code & 0x18 == bpf.RET_A else k


def received(frame):
    """Return (EtherType, packet) as the program sees an Ethernet frame: without its first tag."""
    ethertype, packet = frame[12:14], frame[14:]
    if ethertype in (b"\x81\x00", b"\x88\xa8"):
        ethertype, packet = packet[2:4], packet[4:]
    return int.from_bytes(ethertype, "big"), packet
