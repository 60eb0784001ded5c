"""Addresses become others: those in scope by Crypto-PAn, the others stay.

AES cannot run in a kernel, and a few hosts send most packets. So a cache of what was mapped is
walked in a kernel, and only the addresses of a batch that are not in it are encrypted, together.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

import numpy as np

from chamaleonet.flows.decode import disordered
from chamaleonet.kernels import inlined, kernel
from chamaleonet.log.anonymise.cryptopan import CryptoPan
from chamaleonet.log.anonymise.scope import in_scope

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from chamaleonet.log.anonymise.scope import Scope

# An address: IPv4 in the low 32 bits of "lo"; version 0 is none.
ADDRESS = np.dtype([("hi", np.uint64), ("lo", np.uint64), ("version", np.uint8)], align=True)

# One that was mapped, and into what.
_MAPPED = np.dtype(
    [
        ("hi", np.uint64),
        ("lo", np.uint64),
        ("version", np.uint64),
        ("new_hi", np.uint64),
        ("new_lo", np.uint64),
    ]
)

_CAPACITY = 1 << 18  # addresses in the cache: 10 MiB, and 2 MiB of slots, half of them used
_SLOT_BITS = 19
_CHUNK = 1 << 15  # addresses mapped at a time
_STAYS = -1

U64 = np.uint64


@inlined
def _slot(keys: Any, version: Any, hi: Any, lo: Any) -> Any:
    """Return an address's first slot: multilinear hashing with a secret, as in flows.decode.

    Whoever does not know the secret cannot choose addresses that crowd the same slots.
    """
    low32 = U64(0xFFFFFFFF)
    value = (
        keys[0]
        + keys[1] * (lo & low32)
        + keys[2] * (lo >> U64(32))
        + keys[3] * (hi & low32)
        + keys[4] * (hi >> U64(32))
        + keys[5] * U64(version)
    )
    return np.int64(disordered(value) >> np.uint32(32 - _SLOT_BITS))


@inlined
def _same_before(addresses: Any, i: int) -> int:
    """Return where the same address stood shortly before, or -1.

    The ends of a flow are most often those of its packet, which stand 3 to 5 places before.
    """
    address = addresses[i]
    for back in (4, 3, 5):
        if i >= back:
            other = addresses[i - back]
            if (
                other.lo == address.lo
                and other.hi == address.hi
                and other.version == address.version
            ):
                return i - back
    return -1


@kernel
def _find(
    addresses: Any, scope: Any, keys: Any, slots: Any, mapped: Any, known: int, rows: Any
) -> int:
    """Find addresses in the cache and enter those that are missing; return how many it holds.

    Args:
        addresses: ADDRESS, shape (n,).
        scope: a Scope.
        keys: uint64, shape (6,): the hash's secret.
        slots: int32, shape (2 ** _SLOT_BITS,): row + 1 in ``mapped``, 0 where free.
        mapped: _MAPPED, with room for n more.
        known: rows of ``mapped`` in use.
        rows: int32, shape (n,): filled with each address's row, or _STAYS.
    """
    for i in range(len(addresses)):
        address = addresses[i]
        version, hi, lo = address.version, address.hi, address.lo
        rows[i] = _STAYS
        if version == 0:
            continue
        same = _same_before(addresses, i)
        if same >= 0:
            rows[i] = rows[same]
            continue
        if not in_scope(scope, version, hi, lo):
            continue
        at = _slot(keys, version, hi, lo)
        while True:
            row = slots[at] - 1
            if row < 0:
                row = known
                known += 1
                slots[at] = known
                new = mapped[row]
                new.hi, new.lo, new.version = hi, lo, version
                break
            old = mapped[row]
            if old.lo == lo and old.hi == hi and old.version == version:
                break
            at = (at + 1) & ((1 << _SLOT_BITS) - 1)
        rows[i] = row
    return known


@kernel
def _replace(addresses: Any, rows: Any, mapped: Any) -> None:
    """Write what was found into ADDRESS records, shape (n,)."""
    for i in range(len(addresses)):
        if rows[i] != _STAYS:
            row = mapped[rows[i]]
            addresses[i].hi, addresses[i].lo = row.new_hi, row.new_lo


class AddressMap:
    """Maps addresses, and remembers some hundred thousand.

    Args:
        key: of the anonymisation, cryptopan.KEY_BYTES bytes.
        scope: the addresses that are mapped.
    """

    def __init__(self, key: bytes, scope: Scope) -> None:
        self._cryptopan = CryptoPan(key)
        self._scope = scope
        self._keys = np.frombuffer(secrets.token_bytes(6 * 8), np.uint64)
        self._slots = np.zeros(1 << _SLOT_BITS, np.int32)
        self._mapped = np.empty(_CAPACITY, _MAPPED)
        self._known = 0
        self._rows = np.empty(_CHUNK, np.int32)

    def replace(self, addresses: NDArray[Any]) -> None:
        """Replace addresses in place.

        Args:
            addresses: ADDRESS, shape (n,).
        """
        for first in range(0, len(addresses), _CHUNK):
            chunk = addresses[first : first + _CHUNK]
            if self._known + len(chunk) > _CAPACITY:
                # Rare, and cheaper than to know which addresses are worth keeping.
                self._slots[:] = 0
                self._known = 0
            rows = self._rows[: len(chunk)]
            known = _find(
                chunk, self._scope, self._keys, self._slots, self._mapped, self._known, rows
            )
            if known > self._known:
                self._encrypt(self._mapped[self._known : known])
                self._known = known
            _replace(chunk, rows, self._mapped)

    def _encrypt(self, new: NDArray[Any]) -> None:
        ipv4 = new["version"] == 4
        if ipv4.any():
            new["new_hi"][ipv4] = 0
            new["new_lo"][ipv4] = self._cryptopan.ipv4(new["lo"][ipv4])
        if not ipv4.all():
            words = np.column_stack((new["hi"][~ipv4], new["lo"][~ipv4]))
            words = self._cryptopan.ipv6(words)
            new["new_hi"][~ipv4], new["new_lo"][~ipv4] = words.T
