"""The life of a flow, as a table.

A flow is opened by its first packet. A *request* (SYN, datagram, ICMP query, or a probe with none
of SYN, ACK and RST) makes it PENDING: somebody waits for an answer. A *response* without a
request (SYN+ACK, ICMP reply) makes it UNSOLICITED. Any other TCP segment means that we came late,
MIDSTREAM, and such a flow is never judged.

A pending flow is decided by what comes first: a valid reply (ANSWERED), a TCP reset from the
server (REFUSED), an ICMP error that quotes a packet of the client (ICMP_ERROR), or its deadline
(UNANSWERED). Errors may be taken back: a late reply makes any failed flow RECOVERED, and an
unanswered flow that is refused or gets its ICMP error after all is told what happened.

Mirror ports reorder: where the request is seen after its response, and less than the timeout
later, the UNSOLICITED flow is ANSWERED, its client and server exchanged.

A flow ends when it has been idle, when its place is needed (answered and midstream flows only),
when the capture ends, or when a new SYN reuses its ports after a FIN or RST was seen.

The compiled kernel reads TABLE, the documentation's diagram is drawn from TRANSITIONS, and an
event that is listed nowhere for a state is ILLEGAL: the kernel stops and says so. The contract is
docs/verdicts.md, sections 3 and 4.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np


class State(IntEnum):
    """Where a flow stands; all but NONE are verdicts of the summary."""

    NONE = 0  # no such flow: not opened yet, or ended
    PENDING = 1
    ANSWERED = 2
    RECOVERED = 3
    REFUSED = 4
    ICMP_ERROR = 5
    UNANSWERED = 6
    MIDSTREAM = 7
    UNSOLICITED = 8

    @property
    def label(self) -> str:
        """The name in summaries, logs and metric labels."""
        return self.name.lower()


class Event(IntEnum):
    """What can happen to a flow."""

    OPEN_REQUEST = 0  # first packet: asks for an answer
    OPEN_RESPONSE = 1  # first packet: answers what nobody asked
    OPEN_MIDSTREAM = 2  # first packet: any other TCP segment
    CLIENT = 3  # client to server
    SERVER = 4  # server to client, but no valid reply
    REPLY = 5  # server to client, a valid reply
    RESET = 6  # server to client, TCP with RST
    SOLICITATION = 7  # the request that an unsolicited flow's first packet replies to
    ERROR_CLIENT = 8  # an ICMP error quotes client to server
    ERROR_SERVER = 9  # an ICMP error quotes server to client
    DEADLINE = 10  # first packet + timeout has passed
    REOPEN = 11  # SYN without ACK after a FIN or RST was seen
    END = 12  # idle, evicted, or the capture ends


S, E = State, Event

# (state, event) -> next state
TRANSITIONS: dict[tuple[State, Event], State] = {
    (S.NONE, E.OPEN_REQUEST): S.PENDING,
    (S.NONE, E.OPEN_RESPONSE): S.UNSOLICITED,
    (S.NONE, E.OPEN_MIDSTREAM): S.MIDSTREAM,
    (S.PENDING, E.REPLY): S.ANSWERED,
    (S.PENDING, E.RESET): S.REFUSED,
    (S.PENDING, E.ERROR_CLIENT): S.ICMP_ERROR,
    (S.PENDING, E.DEADLINE): S.UNANSWERED,
    (S.UNANSWERED, E.REPLY): S.RECOVERED,
    (S.UNANSWERED, E.RESET): S.REFUSED,
    (S.UNANSWERED, E.ERROR_CLIENT): S.ICMP_ERROR,
    (S.ICMP_ERROR, E.REPLY): S.RECOVERED,
    (S.REFUSED, E.REPLY): S.RECOVERED,
    (S.UNSOLICITED, E.SOLICITATION): S.ANSWERED,
    (S.ANSWERED, E.REOPEN): S.NONE,
    (S.RECOVERED, E.REOPEN): S.NONE,
    (S.REFUSED, E.REOPEN): S.NONE,
    (S.MIDSTREAM, E.REOPEN): S.NONE,
    **{(state, E.END): S.NONE for state in S if state is not S.NONE},
}

# These happen to any live flow, and where TRANSITIONS is silent they change nothing.
HARMLESS = (E.CLIENT, E.SERVER, E.REPLY, E.RESET, E.ERROR_CLIENT, E.ERROR_SERVER)

ILLEGAL = 255


def _table() -> np.ndarray[tuple[int, int], np.dtype[np.uint8]]:
    table = np.full((len(State), len(Event)), ILLEGAL, np.uint8)
    for state in State:
        if state is not State.NONE:
            table[state, HARMLESS] = state
    for (state, event), target in TRANSITIONS.items():
        table[state, event] = target
    table.flags.writeable = False
    return table


TABLE = _table()

# The verdicts in the order of the summary.
VERDICTS = (
    S.ANSWERED, S.RECOVERED, S.REFUSED, S.ICMP_ERROR,
    S.UNANSWERED, S.PENDING, S.MIDSTREAM, S.UNSOLICITED,
)  # fmt: skip

# What section 5 captures unless configured otherwise.
ERRONEOUS = (S.UNANSWERED, S.ICMP_ERROR)
# What may be captured at all: the states that are a failure.
CAPTURABLE = (S.UNANSWERED, S.ICMP_ERROR, S.REFUSED, S.UNSOLICITED)
# Never judged or all well: such a flow may lose its place to another.
EVICTABLE = (S.ANSWERED, S.MIDSTREAM)
# What "healthy" means where only the rest is listed: nothing failed, or nothing is known yet.
HEALTHY = (S.ANSWERED, S.MIDSTREAM, S.PENDING)


def state_mask(states: tuple[State, ...]) -> int:
    """Return the states as a bit mask, bit ``1 << state``."""
    return sum(1 << state for state in states)
