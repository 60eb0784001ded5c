"""A process that writes to a store as fast as it can, until it is killed."""

from __future__ import annotations

import random
import struct

import tests.log.store.build as build
from tests.log.build import SECOND, START

POSITION = struct.Struct("=Q")


def write(directory, seed, compression, pipe):
    """Go on from the position, and tell each one that was committed."""
    chance = random.Random(seed)
    store = build.open_store(directory, size=30_000, compression=compression)
    now = START
    while True:
        now += chance.choice((SECOND, 20 * SECOND, 1000 * SECOND))
        build.step(store, chance.randrange(1, 200), now)
        pipe.send_bytes(POSITION.pack(build.seq(store)))
