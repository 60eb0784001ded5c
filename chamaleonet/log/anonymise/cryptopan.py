"""Prefix-preserving anonymisation of IP addresses: Crypto-PAn, with AES-128.

J. Xu, J. Fan, M. Ammar and S. Moon, "Prefix-Preserving IP Address Anonymization: Measurement-based
Security Evaluation and a New Cryptography-based Scheme", IEEE ICNP 2002. Addresses map one to one,
and two addresses that share exactly n leading bits share exactly n afterwards: bit n is flipped or
not by a pseudorandom function of the n bits before it. That is the first bit of AES over these
bits, padded to a block with a secret.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

if TYPE_CHECKING:
    from numpy.typing import NDArray

KEY_BYTES = 32  # AES key, and what is encrypted to become the padding

_BLOCK_BYTES = 16
_BLOCKS = 1 << 13  # encrypted at a time: their 128 KiB fit into the processor's cache
_ALL = (1 << 128) - 1


def _words(numbers: list[int]) -> NDArray[np.uint64]:
    """Return 128-bit numbers as uint64, shape (n, 2), most significant first."""
    octets = b"".join(number.to_bytes(_BLOCK_BYTES, "big") for number in numbers)
    return np.frombuffer(octets, ">u8").astype(np.uint64).reshape(-1, 2)


# What is left of an address at each of its bits: those before it.
_MASKS = _words([_ALL << (128 - bits) & _ALL for bits in range(128)])


class CryptoPan:
    """Crypto-PAn with one key; gives what the reference implementation gives.

    IPv6 is the same scheme over 128 bits, as in other implementations.

    Args:
        key: KEY_BYTES random bytes.

    Raises:
        ValueError: the key has another length.
    """

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise ValueError(f"a key has {KEY_BYTES} bytes, not {len(key)}")
        # No block depends on another one here: this is a pseudorandom function, not encryption.
        cipher = Cipher(algorithms.AES(key[:16]), modes.ECB())  # noqa: S305
        self._encryptor = cipher.encryptor()
        padding = self._encryptor.update(key[16:])
        self._paddings = _words([int.from_bytes(padding, "big")]) & ~_MASKS

    def ipv4(self, addresses: NDArray[np.uint64]) -> NDArray[np.uint64]:
        """Map IPv4 addresses: uint64, shape (n,), the address in the low 32 bits."""
        words = np.zeros((len(addresses), 2), np.uint64)
        words[:, 0] = addresses << np.uint64(32)
        flips = self._flips(words, 32).view(">u4").astype(np.uint64)
        return addresses ^ flips[:, 0]

    def ipv6(self, addresses: NDArray[np.uint64]) -> NDArray[np.uint64]:
        """Map IPv6 addresses: uint64, shape (n, 2), most significant word first."""
        return addresses ^ self._flips(addresses, 128).view(">u8").astype(np.uint64)

    def _flips(self, words: NDArray[np.uint64], bits: int) -> NDArray[np.uint8]:
        """Return the bits to flip of addresses that stand in the first ``bits`` bits of words.

        Args:
            words: uint64, shape (n, 2).
            bits: length of an address.

        Returns:
            uint8, shape (n, bits / 8), in network order.
        """
        flips = np.empty((len(words), bits // 8), np.uint8)
        step = _BLOCKS // bits
        for first in range(0, len(words), step):
            chunk = words[first : first + step, None]
            blocks = chunk & _MASKS[:bits] | self._paddings[:bits]
            encrypted = self._encryptor.update(blocks.astype(">u8").view(np.uint8).data)
            octets = np.frombuffer(encrypted, np.uint8)[::_BLOCK_BYTES]
            flips[first : first + step] = np.packbits(octets.reshape(-1, bits) >> 7, axis=1)
        return flips
