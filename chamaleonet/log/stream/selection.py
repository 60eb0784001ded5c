"""Which of the flow engine's events the verdict stream tells, as messages without positions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from chamaleonet.flows.records import Change, Role
from chamaleonet.flows.transitions import HEALTHY, State
from chamaleonet.log.stream.packing import pack_flow, pack_flows, pack_packet

if TYPE_CHECKING:
    from numpy.typing import NDArray

LOGGED = tuple(state for state in State if state is not State.NONE and state not in HEALTHY)


class Selection:
    """Chooses by verdict.

    Args:
        erroneous: verdicts whose entering and leaving is told.
        ended: verdicts of ended flows that are told.
    """

    def __init__(self, erroneous: tuple[State, ...], ended: tuple[State, ...]) -> None:
        self._erroneous, self._ended = _table(erroneous), _table(ended)

    def messages(
        self, events: NDArray[Any], packets: NDArray[Any], data: NDArray[np.uint8]
    ) -> list[dict[str, Any]]:
        """Return a ``verdict`` or ``flow`` for each event that is told, in order.

        Args:
            events: FLOW_EVENT, shape (n,).
            packets: CAPTURED, shape (m,); those with Role.FIRST go with their verdict, or with one
                of their own at the end.
            data: uint8: the packets' bytes.
        """
        firsts = {
            (int(packet["row"]), int(packet["flow"]["judged"])): packet
            for packet in packets[packets["role"] == Role.FIRST]
        }
        state = events["flow"]["state"]
        told = np.where(
            events["change"] == Change.ENDED,
            self._ended[state],
            self._erroneous[state] | self._erroneous[events["was"]],
        )
        events = events[told]
        messages: list[dict[str, Any]] = []
        for flow, change, row in zip(
            pack_flows(events["flow"]),
            events["change"].tolist(),
            events["row"].tolist(),
            strict=True,
        ):
            if change == Change.ENDED:
                messages.append({"kind": "flow", "flow": flow})
            else:
                first = firsts.pop((row, flow["judged"]), None)
                messages.append(_verdict(flow, first, data))
        messages += [_verdict(pack_flow(each["flow"]), each, data) for each in firsts.values()]
        return messages


def _table(states: tuple[State, ...]) -> NDArray[np.bool_]:
    table = np.zeros(256, np.bool_)
    table[list(states)] = True
    return table


def _verdict(
    flow: dict[str, Any], first: np.void | None, data: NDArray[np.uint8]
) -> dict[str, Any]:
    packets = [] if first is None else [pack_packet(first, data)]
    return {"kind": "verdict", "flow": flow, "packets": packets}
