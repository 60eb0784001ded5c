"""An object file becomes position-independent code: what a linker does, as far as kernels need it.

The format is the System V ABI's ELF, with the x86-64 supplement's relocations.
"""

from __future__ import annotations

from struct import Struct, pack_into, unpack_from
from typing import NamedTuple

_WRITABLE, _ALLOCATED = 0x1, 0x2  # SHF_
_SYMBOL_TABLE, _RELOCATIONS = 2, 4  # SHT_SYMTAB, SHT_RELA
_PC32, _PLT32 = 2, 4  # R_X86_64_: how far it is from here
_SYMBOL = Struct("<IBBHQQ")
_RELOCATION = Struct("<QIIq")
_SECTION = Struct("<IIQQQQIIQQ")


class UnlinkableError(Exception):
    """The code cannot stand alone."""


class _Section(NamedTuple):
    """An Elf64_Shdr."""

    name: int
    kind: int
    flags: int
    address: int
    offset: int
    size: int
    link: int
    info: int
    alignment: int
    entry_bytes: int


def link(elf: bytes, entry: str, base: int) -> tuple[bytes, int]:
    """Lay an object file's sections out, and let them refer to each other.

    Args:
        elf: a relocatable object file.
        entry: a symbol.
        base: where the code is to lie, as are the addresses in it, from a page's beginning.

    Returns:
        (the code, the entry's address).

    Raises:
        UnlinkableError: it needs something from outside, or has variables or pointers as data. A
            function that can raise has pointers to its exceptions.
    """
    (table,) = unpack_from("<Q", elf, 0x28)
    (count,) = unpack_from("<H", elf, 0x3C)
    sections = [
        _Section(*_SECTION.unpack_from(elf, table + _SECTION.size * i)) for i in range(count)
    ]
    code = bytearray()
    places: dict[int, int] = {}
    for i, section in enumerate(sections):
        if section.flags & _ALLOCATED and section.size:
            if section.flags & _WRITABLE:
                raise UnlinkableError("it has variables, or pointers as data")
            code += bytes(-(base + len(code)) % section.alignment)
            places[i] = base + len(code)
            code += elf[section.offset : section.offset + section.size]

    symbols = next(section for section in sections if section.kind == _SYMBOL_TABLE)
    names: list[str] = []
    addresses: list[int | None] = []  # None: elsewhere
    for at in range(symbols.offset, symbols.offset + symbols.size, _SYMBOL.size):
        name, _, _, where, value, _ = _SYMBOL.unpack_from(elf, at)
        name += sections[symbols.link].offset
        names.append(elf[name : elf.index(0, name)].decode())
        addresses.append(places[where] + value if where in places else None)

    for section in sections:
        if section.kind == _RELOCATIONS and section.info in places:
            for at in range(section.offset, section.offset + section.size, _RELOCATION.size):
                offset, kind, symbol, addend = _RELOCATION.unpack_from(elf, at)
                here, there = places[section.info] + offset, addresses[symbol]
                if kind not in (_PC32, _PLT32) or there is None:
                    raise UnlinkableError(f"it refers to {names[symbol]} (relocation {kind})")
                pack_into("<i", code, here - base, there + addend - here)
    entered = addresses[names.index(entry)]
    assert entered is not None
    return bytes(code), entered
