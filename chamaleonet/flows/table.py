"""The flow table: arrays of fixed size, and the elementary operations on them.

*Rows* are FLOW records. *Slots* are an open-addressing hash table with linear probing: a slot
holds a flow's 32-bit hash and its row + 1, or 0. At most half of the slots are in use.

Every flow stands in one of three doubly linked lists. PENDING flows are in the order of their
first packets, which is that of their deadlines; EVICTABLE (answered, midstream) and OTHER flows
in the order of their last packets. So whichever flow is next to be judged, forgotten or evicted
is the head of a list, and nothing is ever searched or sorted.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from chamaleonet.flows import shedding, transitions
from chamaleonet.flows.headers import Counted
from chamaleonet.flows.records import CAPTURED, FLOW, FLOW_EVENT, MARK_CLIENT_HIGH, SLAB, Direction
from chamaleonet.flows.sights import new_sights
from chamaleonet.flows.transitions import State, state_mask
from chamaleonet.kernels import inlined

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from chamaleonet.units import Network

U64 = np.uint64


class Register(IntEnum):
    """The table's scalars, in one int64 array that kernels can write."""

    NOW = 0  # the largest timestamp so far, ns
    WAKE = 1  # no deadline or idle flow is due before this, ns
    TIMEOUT = 2  # ns
    IDLE_TIMEOUT = 3  # ns
    LIVE = 4  # flows in the table
    PENDING = 5  # of which pending
    ROWS_USED = 6  # rows that were ever used
    FREE_ROW = 7  # first of the free rows, linked by their "next", or -1
    SLABS_USED = 8
    SLABS_FREE = 9  # how many slab numbers lie in free_slabs
    UNTRACKED = 10  # packets that found no place for their new flow
    ORPHANS = 11
    CAPTURED = 12  # packets that section 5 captures
    PACKETS = 13
    BYTES = 14  # on the wire
    EVICTED = 15  # flows that lost their place to another
    # What is to be told, as masks of states.
    CAPTURE_MASK = 16
    JUDGED_MASK = 17
    ENDED_MASK = 18
    KEEP_PACKETS = 19  # 1: captured packets are handed out, 0: only counted
    # How full the outputs are.
    EVENTS = 20
    CAPTURES = 21
    DATA = 22
    FIRST_MARKS = 23  # MARK_ bits that every flow is opened with
    SIGHT_INTERVAL = 24  # ns for which sights.py counts together
    EVICT_JUDGED = 25  # 1: judged flows too lose their place to others
    EVICTED_JUDGED = 26  # how many did


class Table(NamedTuple):
    """The flow table and its outputs; Numba takes a named tuple of arrays as it is."""

    flows: NDArray[Any]  # FLOW, shape (rows + 1,): the last one stays all zero
    slots: NDArray[np.uint64]  # shape (power of two,)
    links: NDArray[np.int32]  # shape (rows + LISTS, 2): previous, next; the last are list heads
    slab: NDArray[Any]  # SLAB, shape (rows,) or (1,) if no packets are kept
    free_slabs: NDArray[np.int32]
    registers: NDArray[np.int64]
    counted: NDArray[np.int64]  # shape (len(Counted),)
    verdicts: NDArray[np.int64]  # shape (len(Direction), len(State)): flows, ended ones included
    quality: NDArray[np.uint8]  # shape (prefixes + 1, len(Direction)): Quality from now on
    sights: NDArray[np.uint32]  # sights.Sights.counts
    sighted: NDArray[np.int64]  # sights.Sights.flows
    sight_keys: NDArray[np.uint64]  # the secret of their hash
    degraded: NDArray[np.int64]  # shape (len(Direction),): flows are lost; DEGRADED until then, ns
    quota: NDArray[np.int64]  # and these three: chamaleonet.flows.shedding
    buckets: NDArray[np.int32]
    salts: NDArray[np.uint64]
    remembered: NDArray[np.uint64]
    transitions: NDArray[np.uint8]
    inside: NDArray[np.uint64]  # shape (prefixes, 5): version, first hi, lo, last hi, lo
    keys: NDArray[np.uint64]  # the hash's secret
    events: NDArray[Any]  # FLOW_EVENT
    captures: NDArray[Any]  # CAPTURED
    data: NDArray[np.uint8]


PENDING_LIST, EVICTABLE_LIST, OTHER_LIST = 0, 1, 2
LISTS = 3

# Internal prefixes that are told apart; whatever follows is counted with the last of them.
MOST_PREFIXES = 255

# A packet's cut is a uint16, so this is what one can add to the output's bytes.
MOST_BYTES = 1 << 16

_LIST_OF_STATE = np.full(len(State), OTHER_LIST, np.int64)
_LIST_OF_STATE[State.PENDING] = PENDING_LIST
_LIST_OF_STATE[list(transitions.EVICTABLE)] = EVICTABLE_LIST


def new_table(
    *,
    internal: tuple[Network, ...],
    timeout: int,
    idle_timeout: int,
    rows: int,
    keys: NDArray[np.uint64],
    sight_keys: NDArray[np.uint64],
    sight_interval: int,
    capture: tuple[State, ...],
    judged: tuple[State, ...],
    ended: tuple[State, ...],
    packets: bool,
    new_flows: int = 0,
    evict_judged: bool = False,
    outputs: int = 4096,
) -> Table:
    """Return an empty table; its memory is touched, and so used, only as flows come.

    Of internal prefixes that overlap, the first one counts.
    """
    prefixes = min(len(internal), MOST_PREFIXES)
    sights = new_sights(prefixes)
    slots = 1 << (2 * rows - 1).bit_length()
    links = np.zeros((rows + LISTS, 2), np.int32)
    for head in range(rows, rows + LISTS):
        links[head] = head
    registers = np.zeros(len(Register), np.int64)
    registers[Register.TIMEOUT] = timeout
    registers[Register.IDLE_TIMEOUT] = idle_timeout
    registers[Register.FREE_ROW] = -1
    registers[Register.CAPTURE_MASK] = state_mask(capture)
    registers[Register.JUDGED_MASK] = state_mask(judged)
    registers[Register.ENDED_MASK] = state_mask(ended)
    registers[Register.KEEP_PACKETS] = packets
    registers[Register.SIGHT_INTERVAL] = sight_interval
    registers[Register.EVICT_JUDGED] = evict_judged
    return Table(
        flows=np.zeros(rows + 1, FLOW),
        slots=np.zeros(slots, np.uint64),
        links=links,
        slab=np.zeros(rows if packets else 1, SLAB),
        free_slabs=np.zeros(rows if packets else 1, np.int32),
        registers=registers,
        counted=np.zeros(len(Counted), np.int64),
        verdicts=np.zeros((len(Direction), len(State)), np.int64),
        quality=np.zeros((prefixes + 1, len(Direction)), np.uint8),
        sights=sights.counts,
        sighted=sights.flows,
        sight_keys=sight_keys,
        degraded=np.full(len(Direction), -1, np.int64),
        quota=shedding.new_quota(new_flows),
        buckets=shedding.new_buckets(),
        salts=shedding.new_salts(),
        remembered=shedding.new_remembered(new_flows),
        transitions=transitions.TABLE.copy(),
        inside=_ranges(internal),
        keys=keys,
        events=np.zeros(outputs, FLOW_EVENT),
        captures=np.zeros(outputs, CAPTURED),
        data=np.zeros(outputs * 128 + 4 * MOST_BYTES, np.uint8),
    )


def _ranges(internal: tuple[Network, ...]) -> NDArray[np.uint64]:
    rows = []
    for prefix in internal:
        first, last = int(prefix.network_address), int(prefix.broadcast_address)
        low = (1 << 64) - 1
        rows.append((prefix.version, first >> 64, first & low, last >> 64, last & low))
    return np.array(rows, np.uint64).reshape(len(rows), 5)


@inlined
def prefix_of(table: Any, version: Any, hi: Any, lo: Any) -> int:
    """Return the number, from 1, of the internal prefix that an address lies in; 0 for none."""
    for i in range(len(table.inside)):
        prefix = table.inside[i]
        if (
            prefix[0] == version
            and (hi > prefix[1] or (hi == prefix[1] and lo >= prefix[2]))
            and (hi < prefix[3] or (hi == prefix[3] and lo <= prefix[4]))
        ):
            return min(i + 1, MOST_PREFIXES)
    return 0


@inlined
def host_prefix(table: Any, flow: Any) -> int:
    """Return the number of the internal prefix of a flow's host: its client's if both are inside.

    0 in transit.
    """
    version = U64(flow.kind) & U64(15)
    low = prefix_of(table, version, flow.low_hi, flow.low_lo)
    high = prefix_of(table, version, flow.high_hi, flow.high_lo)
    if flow.marks & np.uint8(MARK_CLIENT_HIGH):
        low, high = high, low
    return low if low else high


@inlined
def unlink(table: Any, row: int) -> None:
    """Take a row out of its list."""
    before, after = table.links[row, 0], table.links[row, 1]
    table.links[before, 1] = after
    table.links[after, 0] = before


@inlined
def append(table: Any, row: int, state: int) -> None:
    """Put a row at the end of its state's list."""
    head = len(table.links) - LISTS + _LIST_OF_STATE[state]
    tail = table.links[head, 0]
    table.links[tail, 1] = row
    table.links[row, 0] = tail
    table.links[row, 1] = head
    table.links[head, 0] = row


@inlined
def head_of(table: Any, which: int) -> int:
    """Return the first row of a list, or -1."""
    rows = len(table.links) - LISTS
    row = int(table.links[rows + which, 1])
    return row if row < rows else -1


@inlined
def is_last(table: Any, row: int) -> bool:
    """Tell whether a row is the end of its list."""
    return bool(table.links[row, 1] >= len(table.links) - LISTS)


@inlined
def find(table: Any, key: Any, hashed: Any) -> int:
    """Return the row of a key (a HEADERS or FLOW record), or -1."""
    mask = U64(len(table.slots) - 1)
    at = U64(hashed) & mask
    while True:
        slot = table.slots[at]
        if slot == U64(0):
            return -1
        if slot >> U64(32) == U64(hashed):
            row = int(slot & U64(0xFFFFFFFF)) - 1
            flow = table.flows[row]
            if (
                flow.low_lo == key.low_lo
                and flow.high_lo == key.high_lo
                and flow.ports == key.ports
                and flow.kind == key.kind
                and flow.low_hi == key.low_hi
                and flow.high_hi == key.high_hi
            ):
                return row
        at = (at + U64(1)) & mask


@inlined
def insert(table: Any, row: int, hashed: Any) -> None:
    """Enter a row whose key is known to be absent."""
    mask = U64(len(table.slots) - 1)
    at = U64(hashed) & mask
    while table.slots[at] != U64(0):
        at = (at + U64(1)) & mask
    table.slots[at] = U64(hashed) << U64(32) | U64(row + 1)


@inlined
def remove(table: Any, row: int, hashed: Any) -> None:
    """Free a row's slot and close the gap, so that no tombstones slow down later searches.

    Knuth, The Art of Computer Programming, vol. 3, section 6.4, algorithm R.
    """
    mask = U64(len(table.slots) - 1)
    gap = U64(hashed) & mask
    entry = U64(hashed) << U64(32) | U64(row + 1)
    while table.slots[gap] != entry:
        gap = (gap + U64(1)) & mask
    at = gap
    while True:
        at = (at + U64(1)) & mask
        slot = table.slots[at]
        if slot == U64(0):
            break
        home = slot >> U64(32) & mask
        # The entry may fill the gap unless its home lies cyclically in (gap, at].
        if (at - home) & mask >= (at - gap) & mask:
            table.slots[gap] = slot
            gap = at
    table.slots[gap] = U64(0)


@inlined
def take_row(table: Any) -> int:
    """Return a free row, or -1."""
    registers = table.registers
    row = int(registers[Register.FREE_ROW])
    if row >= 0:
        registers[Register.FREE_ROW] = table.links[row, 1]
    elif registers[Register.ROWS_USED] < len(table.links) - LISTS:
        row = int(registers[Register.ROWS_USED])
        registers[Register.ROWS_USED] += 1
    return row


@inlined
def give_row(table: Any, row: int) -> None:
    """Return a row to the free ones, the last first: it is still in the cache."""
    table.links[row, 1] = table.registers[Register.FREE_ROW]
    table.registers[Register.FREE_ROW] = row


@inlined
def take_slab(table: Any) -> int:
    """Return a free slab number; there are as many as rows, so there always is one."""
    registers = table.registers
    if registers[Register.SLABS_FREE] > 0:
        registers[Register.SLABS_FREE] -= 1
        return int(table.free_slabs[registers[Register.SLABS_FREE]])
    registers[Register.SLABS_USED] += 1
    return int(registers[Register.SLABS_USED]) - 1


@inlined
def give_slab(table: Any, flow: Any) -> None:
    """Free a flow's slab, if it has one."""
    if flow.slab >= 0:
        table.free_slabs[table.registers[Register.SLABS_FREE]] = flow.slab
        table.registers[Register.SLABS_FREE] += 1
        flow.slab = -1


@inlined
def has_room(table: Any) -> bool:
    """Tell whether the outputs can take all that one packet may cause."""
    registers = table.registers
    return bool(
        registers[Register.EVENTS] <= len(table.events) - 4
        and registers[Register.CAPTURES] <= len(table.captures) - 4
        and registers[Register.DATA] <= len(table.data) - 4 * MOST_BYTES
    )
