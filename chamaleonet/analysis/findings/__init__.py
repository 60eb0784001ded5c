"""Named findings: causes of failures, with evidence, a confidence and what to do about them.

The rules are asked one after the other, those first that know best. What a rule has explained, the
next ones do not see: no flow is explained twice, and a scan is no hundred stale servers.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from chamaleonet.analysis.findings import (
    dns_accelerator,
    dns_dead_resolver,
    internal_scanner,
    listed_contact,
    misaddressed_monitoring,
    ntp_dead_peer,
    outage,
    parallel_ports,
    port_unreachable_reflection,
    server_outage,
    slow_server,
    stale_server,
)
from chamaleonet.analysis.findings.case import Case
from chamaleonet.analysis.findings.finding import Group, finding, rounded_share

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from chamaleonet.analysis.findings.finding import Diagnosis, Evidence, Finding
    from chamaleonet.analysis.source import Logs
    from chamaleonet.analysis.suppressions import Suppression
    from chamaleonet.analysis.table import Options

MACHINES = 20  # that the operator is to mend first


class Rule(NamedTuple):
    """How one kind of finding is found.

    Attributes:
        kind: its name.
        find: returns evidence, grouped by cause.
        tell: says what a group means; it may be less than was found, for some is suppressed.
    """

    kind: str
    find: Callable[[Case], list[Group]]
    tell: Callable[[Group], Diagnosis]


# In the order in which they are asked. A scan makes servers fail together, so it comes before an
# outage; an outage, of one server too, makes clients try again and again, so it comes before dead
# servers. Late replies are what the others leave: a server that was slow and then died is dead.
RULES = tuple(
    Rule(module.KIND, module.find, module.tell)
    for module in (
        listed_contact,
        internal_scanner,
        dns_accelerator,
        port_unreachable_reflection,
        outage,
        server_outage,
        parallel_ports,
        dns_dead_resolver,
        ntp_dead_peer,
        misaddressed_monitoring,
        stale_server,
        slow_server,
    )
)


@dataclass(frozen=True)
class Suppressed:
    """A finding, or part of one, that is not to be shown.

    Attributes:
        finding: what it is.
        suppression: by what.
    """

    finding: Finding
    suppression: Suppression


@dataclass(frozen=True)
class Findings:
    """What the rules found.

    Attributes:
        findings: those that explain most first.
        suppressed: what is not to be shown.
        expired: suppressions that are over.
        erroneous: erroneous flows of the log.
        radiation: those of them that came from outside and that nothing explains.
        machines: hosts to mend first, MACHINES at most: ``host``, ``flows``, ``share`` (of all
            erroneous flows) and ``kinds`` of findings.
    """

    findings: list[Finding]
    suppressed: list[Suppressed]
    expired: list[Suppression]
    erroneous: int
    radiation: int
    machines: list[dict[str, Any]]

    @property
    def explained(self) -> float | None:
        """The share of all erroneous flows that findings explain; None if there are none."""
        return rounded_share(sum(found.erroneous for found in self.findings), self.erroneous)

    @property
    def suppressed_share(self) -> float | None:
        """The share of all erroneous flows of what is suppressed; None if there are none."""
        return rounded_share(
            sum(each.finding.erroneous for each in self.suppressed), self.erroneous
        )


def find(
    logs: Logs,
    options: Options,
    tables: Mapping[str, Any],
    *,
    rules: Sequence[Rule] = RULES,
    today: date | None = None,
    on_rule: Callable[[str], object] = lambda kind: None,  # noqa: ARG005
) -> Findings:
    """Ask the rules.

    Args:
        logs: the log.
        options: with ``indicators`` and ``suppressions``.
        tables: values of the report's tables by name; ``scanners`` and ``simultaneous`` are needed.
        rules: to be asked, in this order.
        today: when suppressions are looked at; by default the day that it is in UTC.
        on_rule: is called with each rule's kind before it is asked.

    Raises:
        UserError: the log cannot be read.
    """
    today = today or datetime.now(UTC).date()
    active = [each for each in options.suppressions if not each.expired(today)]
    case = Case(logs, options, tables)
    findings: list[Finding] = []
    suppressed: list[Suppressed] = []
    machines = _Machines()
    for rule in rules:
        on_rule(rule.kind)
        groups = rule.find(case)
        for group in groups:
            for suppression, part in _parts(rule.kind, group, active):
                found = finding(rule.kind, part, rule.tell(part), case.erroneous)
                if suppression is None:
                    findings.append(found)
                    machines.add(rule.kind, part.evidence)
                else:
                    suppressed.append(Suppressed(found, suppression))
        case.explain(row for group in groups for row in group.evidence)
    findings.sort(key=lambda found: (-found.erroneous, -found.flows, found.kind, found.cause))
    return Findings(
        findings=findings,
        suppressed=suppressed,
        expired=[each for each in options.suppressions if each.expired(today)],
        erroneous=case.erroneous,
        radiation=case.radiation(),
        machines=machines.first(case.erroneous),
    )


def _parts(
    kind: str, group: Group, active: Sequence[Suppression]
) -> list[tuple[Suppression | None, Group]]:
    """Return a group's evidence in parts: what is shown, and what each suppression covers."""
    parts: dict[int, list[Evidence]] = {}
    for row in group.evidence:
        covers = (at for at, suppression in enumerate(active) if suppression.covers(kind, row))
        parts.setdefault(next(covers, -1), []).append(row)
    return [
        (None if at < 0 else active[at], Group(rows, group.about, group.hosts))
        for at, rows in sorted(parts.items())
    ]


class _Machines:
    """Counts flows of findings by host."""

    def __init__(self) -> None:
        self._flows: Counter[str] = Counter()
        self._erroneous: Counter[str] = Counter()
        self._kinds: dict[str, dict[str, None]] = {}

    def add(self, kind: str, evidence: Sequence[Evidence]) -> None:
        for row in evidence:
            if row.host is not None:
                self._flows[row.host] += row.flows
                self._erroneous[row.host] += row.erroneous
                self._kinds.setdefault(row.host, {})[kind] = None

    def first(self, erroneous: int) -> list[dict[str, Any]]:
        """Return the hosts of most erroneous flows, and of these with most flows."""
        hosts = sorted(
            self._flows, key=lambda host: (-self._erroneous[host], -self._flows[host], host)
        )[:MACHINES]
        return [
            {
                "host": host,
                "flows": self._flows[host],
                "share": rounded_share(self._erroneous[host], erroneous),
                "kinds": list(self._kinds[host]),
            }
            for host in hosts
        ]
