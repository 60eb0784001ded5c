"""Which files of a log hold the time that is asked for: pruning by partition, before any query."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

from chamaleonet.errors import UserError

if TYPE_CHECKING:
    from pathlib import Path

_PARTITION = re.compile(r"day=(\d{4}-\d\d-\d\d)(?:/hour=(\d\d?))?(?:/|$)")
_COUNTERS = ".healthy.parquet"

# A flow is logged when it ends, after it was idle; its partition is at most so much later than
# its last packet. The idle timeout is minutes.
_LATEST = timedelta(days=1)


class LogFiles(NamedTuple):
    """The files of a log.

    Attributes:
        flows: flow logs.
        counters: counters of healthy flows.
        counted: whether healthy flows were counted at all, be it at another time.
    """

    flows: list[Path]
    counters: list[Path]
    counted: bool


def find(path: Path, since: datetime | None, until: datetime | None) -> LogFiles:
    """Return the files that can hold rows of a time, in the order of their names.

    Args:
        path: a directory, searched through, or one flow log.
        since: the first time asked for; None for the log's begin.
        until: the first time no longer asked for; None for the log's end.

    Raises:
        UserError: there is no such file or directory, or no Parquet file in it.
    """
    if path.is_file():
        return LogFiles([path], [], counted=False)
    if not path.is_dir():
        raise UserError(f"{path}: no such file or directory")
    files = sorted(path.rglob("*.parquet"))
    if not files:
        raise UserError(f"{path}: no .parquet file in it, so no log")
    # A counter's minute is that of a flow's begin, and how long flows last has no bound.
    latest = None if until is None else until + _LATEST
    flows = [file for file in files if not file.name.endswith(_COUNTERS)]
    counters = [file for file in files if file.name.endswith(_COUNTERS)]
    return LogFiles(
        [file for file in flows if _holds(file, path, since, latest)],
        [file for file in counters if _holds(file, path, since, None)],
        counted=bool(counters),
    )


def _holds(file: Path, root: Path, since: datetime | None, until: datetime | None) -> bool:
    """Return whether a file's partition and a span of time have a moment in common."""
    match = _PARTITION.search(file.relative_to(root).as_posix())
    if match is None:
        return True  # it is in no partition, so anything may be in it
    try:
        begin = datetime.strptime(match[1], "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError as error:
        raise UserError(f"{file}: {match[1]} is no day") from error
    end = begin + timedelta(days=1)
    if match[2] is not None:
        begin += timedelta(hours=int(match[2]))
        end = begin + timedelta(hours=1)
    return (since is None or end > since) and (until is None or begin < until)
