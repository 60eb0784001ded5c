"""The kinds of files: how far each is whole, and what becomes of it when it is complete."""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from chamaleonet.log.store.convert import compress, counts_to_parquet, flows_to_parquet
from chamaleonet.log.store.whole import whole_blocks, whole_counts, whole_flows, whole_lines

if TYPE_CHECKING:
    from collections.abc import Callable


class Kind(NamedTuple):
    """What is done with a file of one kind.

    Attributes:
        whole: returns the length of the front of a partial file that holds whole records only.
        convert: reads so many bytes of the first file and writes the complete file to the second;
            None: the partial file is the complete one.
    """

    whole: Callable[[BinaryIO], int]
    convert: Callable[[BinaryIO, int, BinaryIO], None] | None = None


# By suffix. A partial file's suffix tells what it will be, so that it is finished in the same way
# by a process with another configuration.
KINDS = {
    ".pcapng": Kind(whole_blocks),
    ".pcapng.zst": Kind(whole_blocks, compress),
    ".flows.parquet": Kind(whole_flows, flows_to_parquet),
    ".healthy.parquet": Kind(whole_counts, counts_to_parquet),
    ".flows.jsonl": Kind(whole_lines),
    ".flows.jsonl.zst": Kind(whole_lines, compress),
    ".events.json": Kind(whole_lines),
    ".events.json.zst": Kind(whole_lines, compress),
}
