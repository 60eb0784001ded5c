"""What a detector keeps to itself: healthy flows, of which numbers are all that anybody wants.

They are most of what an engine tells. Were each of them told to the controller, it would be as
busy as if it judged all packets itself.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from chamaleonet.flows.engine import Output
from chamaleonet.flows.records import FLOW_EVENT, Change, ended_flows, raw
from chamaleonet.flows.transitions import EVICTABLE, State
from chamaleonet.switch.flowcounts import keys_of

if TYPE_CHECKING:
    from chamaleonet.log.tally import Tally

_WELL = np.zeros(256, np.bool_)
_WELL[list(EVICTABLE)] = True
_NEW = np.zeros(256, np.bool_)  # nobody was told of a flow in these states
_NEW[[State.NONE, State.PENDING]] = True


class Digest:
    """Takes what an engine tells and returns what is to be told on.

    Args:
        tally: counts the healthy flows that ended; without one nobody wants to know.

    Attributes:
        verdicts: flows that became healthy, by switch.flowcounts.keys_of, since it was emptied.
    """

    def __init__(self, tally: Tally | None) -> None:
        self._tally = tally
        self.verdicts: Counter[int] = Counter()

    def take(self, output: Output) -> Output:
        """Return the output without the healthy flows that never were anything else."""
        events = output.events
        ended = events["change"] == Change.ENDED
        ours = _WELL[events["flow"]["state"]] & (ended | _NEW[events["was"]])
        if not ours.any():
            return output
        healthy = raw(events)[ours].view(FLOW_EVENT)
        for key, count in zip(*np.unique(keys_of(healthy), return_counts=True), strict=True):
            self.verdicts[int(key)] += int(count)
        if self._tally is not None:
            self._tally.write(ended_flows(healthy))
        return Output(raw(events)[~ours].view(FLOW_EVENT), output.packets, output.data)
