"""The logger's files: written once, by hour, and found whole again whatever happens.

Beneath the directory lie, for each file begun (times in UTC)::

    day=2026-11-23/hour=14/chamaleonet-20261123T140000.000Z.pcapng.zst
    day=2026-11-23/hour=14/chamaleonet-20261123T140000.000Z.flows.parquet
    day=2026-11-23/hour=14/chamaleonet-20261123T150000.000Z.pcapng.zst.partial

A *partial* file is one that is not complete. It is only ever appended to, and holds pcapng blocks,
FLOW records (``flows/records.py``) or lines as they came: Parquet and Zstandard are made when it
ends (``finish``). Its name tells what it will be.

A *commit* writes what has gathered in memory to the partial files and then replaces
``commit.json``, which tells the position in the verdict stream up to which everything is in the
files, and how long each of them is. What lies behind that length was never committed. So the next
start cuts each partial file there, finishes it (``adopt``), and goes on from the position: after a
crash or ``kill -9`` at any instruction, each record is in the files exactly once.

A power cut is another matter: a commit does not wait for the disk, so the records of the last
seconds may be lost. A partial file that is shorter than it should be is adopted up to its last
whole record, and so are all of them if ``commit.json`` itself was lost; then some records may be
there twice. A complete file was on disk before it got its name.

Events are to be followed as they come, at a name that does not change: ``events.json`` is a second
name (a hard link) of their partial file, and ``events.json.1`` of the one before.
"""

from __future__ import annotations

from chamaleonet.log.store.appendfile import Rotation
from chamaleonet.log.store.retention import Retention
from chamaleonet.log.store.store import Store, StoreError

__all__ = ["Retention", "Rotation", "Store", "StoreError"]
