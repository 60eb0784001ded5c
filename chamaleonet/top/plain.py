"""`chamaleonet top` where nobody looks at a screen: a table as lines of text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chamaleonet.log.events.rows import rfc3339
from chamaleonet.top.findings import findings
from chamaleonet.top.state import Level, items

if TYPE_CHECKING:
    from collections.abc import Iterator

    from chamaleonet.top.model import Model

LISTS = ("hosts", "servers", "ports", "verdicts", "findings")
SORTS = {"name": 0, "now": 1, "minute": 2, "total": 3, "recovered": 4, "last": 5}
_COUNTS = "{:<24} {:<8} {:<39} {:>7} {:>7} {:>9} {:>9} {}"
_FINDINGS = "{:<24} {:<8} {:<27} {:>7} {:<47} {}"


def table(
    model: Model, now: int, *, what: str, rows: int, sort: str = "now", contains: str = ""
) -> Iterator[str]:
    """Yield a table as lines whose columns are separated by blanks, after a line of headings.

    The columns keep their order; new ones come last (docs/top.md).

    Args:
        model: what is known.
        now: ns since 1970.
        what: one of LISTS.
        rows: lines at most.
        sort: by which of SORTS; findings are always sorted by flows.
        contains: only what contains this text.
    """
    time = rfc3339(now, 3)
    if what == "findings":
        yield _FINDINGS.format("# time", "list", "finding", "flows", "at", "detail")
        found = [each for each in findings(model.flows.values()) if contains in " ".join(each[:3])]
        for kind, subject, detail, flows in found[:rows]:
            at = subject.replace(" ", "/")
            yield _FINDINGS.format(time, what, kind, len(flows), at, detail.replace(" ", "_"))
        return
    yield _COUNTS.format(
        "# time", "list", "name", "now", "minute", "total", "recovered", "last"
    ).rstrip()
    level = Level(what, sort=SORTS[sort], filter=contains)
    for _, count in items(model, level, now)[:rows]:
        last = rfc3339(count.last, 3) if count.last else "-"
        yield _COUNTS.format(
            time, what, count.name, count.live, count.minute.count(now), count.total,
            count.recovered, last,
        )  # fmt: skip
