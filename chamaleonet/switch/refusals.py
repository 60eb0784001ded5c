"""Tells the operator what a switch refused, and not a thousand times."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from chamaleonet.switch.rules import rule_text

if TYPE_CHECKING:
    from chamaleonet.switch.pipeline import Change

log = logging.getLogger(__name__)

_MOST = 10  # lines
_PERIOD = 60 * 10**9  # ns


class Refusals:
    """Logs the changes that one switch refused, ten in a minute at most.

    Args:
        name: what logs call the switch.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._period_end = 0
        self._number = 0

    def tell(self, change: Change, generation: int, reason: str, now: int) -> None:
        """Take a refused change; log it if there were few before."""
        if now >= self._period_end:
            if self._number > _MOST:
                log.error("%s: it refused %d more", self._name, self._number - _MOST)
            self._period_end, self._number = now + _PERIOD, 0
        self._number += 1
        if self._number <= _MOST:
            verb = "add" if change.add else "delete"
            what = rule_text(change.rule, generation)
            log.error("%s: the switch refused to %s %s: %s", self._name, verb, what, reason)
