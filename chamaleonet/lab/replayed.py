"""What became of captures that were replayed: in the files, as planned, at the border, and live."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any

from chamaleonet.flows.records import Direction
from chamaleonet.lab.cases import PENDING, UNANSWERED, Case
from chamaleonet.lab.result import Replayed, Span
from chamaleonet.lab.truth import truth

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from chamaleonet.flows.engine import Settings
    from chamaleonet.lab.cases import Cases
    from chamaleonet.lab.truth import Flow, Key

_ROWS = 10
_CROSSING = (Direction.OUTBOUND, Direction.INBOUND)


def replayed(
    directory: Path, found: Cases, settings: Settings, known: Callable[[Case], str]
) -> Replayed:
    """Return what became of a replay.

    Args:
        directory: has ``replay.json`` and ``sent.pcap``.
        found: what crossed the border, and what was found of it.
        settings: the controller's.
        known: why live cannot do better with a flow, "" if it could.

    Raises:
        UserError: ``sent.pcap`` cannot be read.
    """
    planned = truth([directory / "sent.pcap"], settings).flows
    altered = list(_altered(planned, [case.flow for case in found.cases], settings.timeout))
    failed = [case for case in found.cases if case.failed]
    right = [case for case in failed if case.agrees]
    missing = sum(max(0, case.least - len(case.written)) for case in failed if not known(case))
    problems = []
    if not found.cases:
        problems.append("nothing crossed the border: say what is inside in the captures")
    if altered:
        problems.append(f"the network made something else of {len(altered)} flows")
    if missing:
        problems.append(f"{missing} packets of failing flows were not captured")
    return Replayed(
        **_told(directory),
        mapped=_verdicts(planned),
        crossing=sum(_crosses(flow) for flow in planned),
        altered=len(altered),
        altered_rows=altered[:_ROWS],
        expected_flows=len(failed),
        judged_right=len(right),
        live=Counter(case.live.verdict if case.live else "none" for case in failed),
        captured=sum(len(case.written) for case in failed),
        captured_expected=Span(
            least=sum(case.least for case in failed), most=sum(case.most for case in failed)
        ),
        captured_missing=missing,
        problems=problems,
    )


def one_way(directory: Path) -> frozenset[str]:
    """Return the directions of which replayed captures hold no replies."""
    return frozenset(_told(directory).get("one_way", ()))


def is_of_one_way(case: Case, suspect: frozenset[str]) -> bool:
    """Tell whether a live verdict is rightly suspect: replies are not in the captures either."""
    return case.is_suspect and Direction(case.flow.record["direction"]).label in suspect


def _told(directory: Path) -> dict[str, Any]:
    path = directory / "replay.json"
    told: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    return told


def _settled(flow: Flow) -> str:
    """Return a flow's verdict; the run waits for what the planned end leaves open."""
    return UNANSWERED if flow.verdict == PENDING else flow.verdict


def _verdicts(flows: Iterable[Flow]) -> dict[str, int]:
    return dict(Counter(map(_settled, flows)))


def _crosses(flow: Flow) -> bool:
    return bool(flow.record["direction"] in _CROSSING)


def _altered(planned: list[Flow], true: list[Flow], timeout: int) -> Iterable[str]:
    """Yield, in words, planned flows that cross the border and did not come to that there."""
    seen: defaultdict[Key, list[Flow]] = defaultdict(list)
    for flow in true:
        seen[flow.key].append(flow)
    for flow in planned:
        if _crosses(flow):
            there = seen[flow.key].pop(0) if seen[flow.key] else None
            verdict = _settled(there) if there else "not there"
            races = any(Case(each, timeout).races for each in (flow, there) if each)
            if verdict != _settled(flow) and not (races and there):
                key = flow.key
                yield (
                    f"{key.protocol} {key.client} {key.client_port or ''} > {key.server}"
                    f" {key.server_port or ''}: planned {_settled(flow)}, was {verdict}"
                )
