"""The live flows of an engine, taken out and put into another one.

So verdicts survive their process. What an engine does not see while nobody watches it cannot know:
a flow that waited for its first reply then, and is unanswered afterwards, may have been answered
meanwhile. Its verdict is suspect.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from chamaleonet.flows.decode import hash_key
from chamaleonet.flows.records import (
    FLOW,
    MARK_DELIVERED,
    MARK_RESTORED,
    SLAB,
    SLAB_BYTES,
    Change,
    Direction,
    Quality,
    names_of,
    raw,
)
from chamaleonet.flows.table import (
    Register,
    append,
    find,
    host_prefix,
    insert,
    take_row,
    take_slab,
)
from chamaleonet.flows.transitions import HEALTHY, State
from chamaleonet.kernels import kernel

if TYPE_CHECKING:
    from numpy.typing import NDArray

U8 = np.uint8


class Snapshot(NamedTuple):
    """Live flows.

    Attributes:
        flows: FLOW, shape (n,); "slab" is an index of ``firsts``, or -1.
        firsts: SLAB, shape (m,): first packets of flows that wait for their verdict.
    """

    flows: NDArray[Any]
    firsts: NDArray[Any]


def take(table: Any, most: int) -> Snapshot:
    """Return copies of the live flows of a table.

    Args:
        table: a table.Table.
        most: return no more; healthy flows are left out first, the longest idle ones of them.
    """
    used = table.flows[: int(table.registers[Register.ROWS_USED])]
    rows = np.flatnonzero(used["state"])
    if len(rows) > most:
        healthy = np.isin(used["state"][rows], [s for s in HEALTHY if s is not State.PENDING])
        rows = rows[np.lexsort((-used["last"][rows], healthy))[:most]]
    flows = raw(used)[rows].view(FLOW)
    kept = np.flatnonzero(flows["slab"] >= 0)
    firsts = raw(table.slab)[flows["slab"][kept]].view(SLAB)
    flows["slab"][kept] = np.arange(len(kept))
    return Snapshot(flows, firsts)


def follow(snapshot: Snapshot, events: NDArray[Any]) -> Snapshot:
    """Return what has become of the flows by these events, FLOW_EVENT, which came afterwards."""
    if not len(events):
        return snapshot
    flows = dict(zip(names_of(snapshot.flows), snapshot.flows, strict=True))
    for event, name in zip(events, names_of(events["flow"]), strict=True):
        if event["change"] == Change.ENDED:
            flows.pop(name, None)
            continue
        flow = event["flow"].copy()
        waits = flow["state"] in (State.PENDING, State.UNANSWERED)
        was = flows.get(name)
        keeps = was is not None and waits and not flow["marks"] & MARK_DELIVERED
        flow["slab"] = was["slab"] if keeps and was is not None else -1
        flows[name] = flow
    left = np.array(list(flows.values()), FLOW) if flows else np.empty(0, FLOW)
    return Snapshot(left, snapshot.firsts)


def sound(snapshot: Snapshot) -> bool:
    """Tell whether kernels can take a snapshot that was read from a file: they check nothing."""
    flows, firsts = snapshot
    slab = flows["slab"]
    return bool(
        np.all((flows["state"] > State.NONE) & (flows["state"] <= max(State)))
        and np.all(flows["direction"] <= max(Direction))
        and np.all(flows["quality"] <= max(Quality))
        and np.all((slab >= -1) & (slab < len(firsts)))
        and np.all(firsts["length"] <= SLAB_BYTES)
    )


def put(table: Any, snapshot: Snapshot) -> NDArray[Any]:
    """Enter flows into a table that has none of them.

    Args:
        table: a table.Table.
        snapshot: a sound one; the flows that there is no place for are left out.

    Returns:
        The rows that they have now, int32, shape (n,).
    """
    flows, firsts = snapshot
    # Lists are in this order: table.py.
    time = np.where(flows["state"] == State.PENDING, flows["first"], flows["last"])
    flows = np.ascontiguousarray(flows[np.argsort(time, kind="stable")])
    rows = np.empty(len(flows), np.int32)
    firsts = np.ascontiguousarray(firsts) if len(firsts) else np.zeros(1, SLAB)
    return rows[: put_flows(table, flows, firsts, rows)]


@kernel
def put_flows(table: Any, flows: Any, firsts: Any, rows: Any) -> int:
    """Enter flows into the table in this order; return how many there was room for."""
    registers = table.registers
    done = 0
    for i in range(len(flows)):
        hashed = hash_key(flows[i], table.keys)
        if find(table, flows[i], hashed) >= 0:
            continue
        row = take_row(table)
        if row < 0:
            break
        table.flows[row] = flows[i]
        flow = table.flows[row]
        flow.marks |= U8(MARK_RESTORED)
        flow.prefix = U8(host_prefix(table, flow))  # they may be numbered otherwise now
        kept = int(flow.slab)
        flow.slab = -1
        if kept >= 0 and registers[Register.KEEP_PACKETS] != 0:
            flow.slab = take_slab(table)
            table.slab[flow.slab] = firsts[kept]
        insert(table, row, hashed)
        append(table, row, flow.state)
        registers[Register.LIVE] += 1
        if flow.state == State.PENDING:
            registers[Register.PENDING] += 1
        registers[Register.NOW] = max(registers[Register.NOW], flow.last)
        table.verdicts[flow.direction, flow.state] += 1
        rows[done] = row
        done += 1
    registers[Register.WAKE] = 0  # some of them may be due
    return done
