"""When each packet of a capture is sent: at its time, but for what a network in a box cannot do.

In a capture an answer may come some microseconds after its request. Sent so, it would overtake the
request on the way to the border, for hosts here do not wait to be asked. So each packet that goes
the other way in its flow is held back until its predecessor has had time to arrive, and with it
what follows in the flow. Other flows go on meanwhile.
"""

from __future__ import annotations

import heapq
from collections import defaultdict, deque
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable

SECOND = 10**9
# More than this, and a switch in user space may drop some.
PACKETS_PER_SECOND = 5_000
ARRIVES = SECOND // 50  # ns in which a packet surely arrives


class Wish(NamedTuple):
    """A packet that is to be sent.

    Attributes:
        at: when, ns.
        flow: what it belongs to; None: to nothing.
        forward: it goes one way, not the other.
    """

    at: int
    flow: Hashable
    forward: bool


class Slot(NamedTuple):
    """When a packet is sent.

    Attributes:
        at: ns.
        number: which of the wishes it is.
        answers: which slot has to be ``ARRIVES`` ago, by its place in the order of sending; None:
            none.
    """

    at: int
    number: int
    answers: int | None


def schedule(wishes: Iterable[Wish]) -> list[Slot]:
    """Return when packets are sent, in the order of sending; none earlier than it is wished.

    Args:
        wishes: in the capture's order, which is kept within each flow.
    """
    waiting: defaultdict[Hashable, deque[tuple[int, Wish]]] = defaultdict(deque)
    for number, wish in enumerate(wishes):
        waiting[number if wish.flow is None else (wish.flow,)].append((number, wish))
    # The next packet of each flow: (ns, number, which slot it answers, flow).
    ready: list[tuple[int, int, int, Hashable]] = [
        (flow[0][1].at, flow[0][0], -1, name) for name, flow in waiting.items()
    ]
    heapq.heapify(ready)
    slots: list[Slot] = []
    now = None
    while ready:
        at, number, answers, name = heapq.heappop(ready)
        now = at if now is None else max(at, now + SECOND // PACKETS_PER_SECOND)
        slots.append(Slot(now, number, None if answers < 0 else answers))
        flow = waiting[name]
        _, sent = flow.popleft()
        if flow:
            following, wish = flow[0]
            turns = wish.forward != sent.forward
            earliest = now + (ARRIVES if turns else 0)
            answers = len(slots) - 1 if turns else -1
            heapq.heappush(ready, (max(wish.at, earliest), following, answers, name))
    return slots
