"""What a finding is, and the evidence that it rests on."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from chamaleonet.analysis.shares import share
from chamaleonet.analysis.source import split_service
from chamaleonet.analysis.times import iso

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MOST_EVIDENCE = 25  # rows that a finding shows, those of most flows
MOST_HOSTS = 1000  # hosts that it names


_COUNTED = ("flows", "erroneous", "requests", "first", "last")


@dataclass(frozen=True)
class Evidence:
    """Failing or late flows that have what is not None in common: a row of what a finding rests on.

    Attributes:
        host: the internal host to mend; None where there is none.
        client: address.
        server: address.
        service: protocol and server port, as in source.Logs.
        flows: how many.
        erroneous: how many of them are erroneous; the others were refused, or came through.
        requests: packets by which the clients asked.
        first: first packet of the first flow, ns since 1970.
        last: last packet of the last one.
        period: seconds between two attempts, where they are regular.
        detail: what else is to be said, a few words.
        timed: only flows that began from ``first`` to ``last`` are meant.
        late: only flows whose reply was late are meant: they are no failures, and explain none.
    """

    host: str | None
    client: str | None
    server: str | None
    service: str | None
    flows: int
    erroneous: int
    requests: int
    first: int
    last: int
    period: float | None = None
    detail: str = ""
    timed: bool = False
    late: bool = False

    @classmethod
    def of(cls, row: Mapping[str, Any], *, host: str | None, **given: Any) -> Self:
        """Return what a query's row tells of a host; what is given goes before it."""
        shared: dict[str, Any] = {name: row.get(name) for name in ("client", "server", "service")}
        counted = {name: row[name] for name in _COUNTED if name not in given}
        return cls(host=host, **(shared | counted | given))

    @property
    def port(self) -> int | None:
        """Port of the server; None where there is none, or any is meant."""
        return None if self.service is None else split_service(self.service)[1]

    def row(self) -> dict[str, Any]:
        """Return it as a row of the report."""
        return {
            "client": self.client,
            "server": self.server,
            "protocol": None if self.service is None else split_service(self.service)[0],
            "server_port": self.port,
            "first": iso(self.first),
            "last": iso(self.last),
            "flows": self.flows,
            "requests": self.requests,
            "period": None if self.period is None else float(f"{self.period:.3g}"),
            "detail": self.detail,
        }


# What each column of an evidence row is called, and its unit.
EVIDENCE_COLUMNS = {
    "client": ("client", ""),
    "server": ("server", ""),
    "protocol": ("protocol", ""),
    "server_port": ("server port", ""),
    "first": ("first", "UTC"),
    "last": ("last", "UTC"),
    "flows": ("flows", "flows"),
    "requests": ("requests", "packets"),
    "period": ("period", "seconds"),
    "detail": ("detail", ""),
}


@dataclass(frozen=True)
class Group:
    """Evidence of one cause.

    Attributes:
        evidence: at least one row.
        about: what the rule knows of the cause beyond that, for its diagnosis.
        hosts: the hosts to name, where they are not those of the evidence.
    """

    evidence: Sequence[Evidence]
    about: Mapping[str, Any] = field(default_factory=dict)
    hosts: Sequence[str] | None = None

    @property
    def flows(self) -> int:
        """How many flows the evidence adds up to."""
        return sum(row.flows for row in self.evidence)

    @property
    def servers(self) -> list[str]:
        """The servers, those of most flows first."""
        return by_flows(self.evidence, "server")


class Diagnosis(NamedTuple):
    """What a rule says of a group of evidence.

    Attributes:
        confidence: that this is the cause: 0 to 1.
        cause: in plain language.
        fix: what to do, as an imperative.
    """

    confidence: float
    cause: str
    fix: str


@dataclass(frozen=True)
class Finding:
    """One cause of failures, and what to do.

    Attributes:
        kind: its rule.
        confidence: that this is the cause: 0 to 1.
        flows: flows that it is made of.
        erroneous: erroneous flows that it explains, which no other finding does.
        share: of all erroneous flows; None where there are none.
        hosts: internal hosts to mend, those of most flows first.
        evidence: rows, those of most flows first: EVIDENCE_COLUMNS.
        cause: in plain language.
        fix: what to do, as an imperative.
    """

    kind: str
    confidence: float
    flows: int
    erroneous: int
    share: float | None
    hosts: list[str]
    evidence: list[dict[str, Any]]
    cause: str
    fix: str

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return {
            "kind": self.kind,
            "confidence": self.confidence,
            "flows": self.flows,
            "share": self.share,
            "hosts": self.hosts,
            "evidence": self.evidence,
            "cause": self.cause,
            "fix": self.fix,
        }


def finding(kind: str, group: Group, diagnosis: Diagnosis, all_erroneous: int) -> Finding:
    """Return the finding that a group of evidence makes.

    Args:
        kind: its rule.
        group: the evidence.
        diagnosis: what the rule says of it.
        all_erroneous: erroneous flows of the whole log.
    """
    erroneous = sum(row.erroneous for row in group.evidence)
    hosts = by_flows(group.evidence, "host") if group.hosts is None else group.hosts
    shown = sorted(group.evidence, key=_most_flows_first)[:MOST_EVIDENCE]
    return Finding(
        kind=kind,
        confidence=round(diagnosis.confidence, 2),
        flows=group.flows,
        erroneous=erroneous,
        share=rounded_share(erroneous, all_erroneous),
        hosts=list(hosts[:MOST_HOSTS]),
        evidence=[row.row() for row in shown],
        cause=diagnosis.cause,
        fix=diagnosis.fix,
    )


def rounded_share(part: int, whole: int) -> float | None:
    """Return part / whole to 9 digits, None where there is no whole."""
    value = share(part, whole)
    return None if value is None else float(f"{value:.9g}")


def grown(number: float, half: float) -> float:
    """Return how much a number of observations convinces: 0 for none, 0.5 at ``half``, up to 1."""
    return number / (number + half)


def by_flows(evidence: Sequence[Evidence], name: str) -> list[str]:
    """Return the values of a field of evidence that are not None, those of most flows first."""
    flows: dict[str, int] = {}
    for row in evidence:
        if (value := getattr(row, name)) is not None:
            flows[value] = flows.get(value, 0) + row.flows
    return sorted(flows, key=lambda value: (-flows[value], value))


def _most_flows_first(row: Evidence) -> tuple[Any, ...]:
    return (-row.flows, -row.requests, row.client or "", row.server or "", row.service or "")
