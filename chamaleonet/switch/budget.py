"""How many redirect rules a switch may hold, and how many it turned out to hold."""

from __future__ import annotations

MOST = 10_000  # where the switch would hold any number: a software switch says a million
UNKNOWN = 1_000  # where it says that it cannot say; smaller hardware refuses, and is believed

_BACK_OFF = 30 * 10**9  # ns from a full table until it is asked to hold more
_MOST_BACK_OFF = 600 * 10**9
_SETTLED = 10 * 10**9  # ns without pressure until aggregates are dissolved


class Budget:
    """The budget of one switch.

    Three things bound it: the configuration, the room that the switch says its table has, and
    what it held when it refused a rule because the table was full. The last one is doubted from
    time to time: the bound grows by a quarter, and if the switch refuses again the next attempt
    waits twice as long.

    Args:
        max_rules: the configured budget, or None.

    Attributes:
        limit: the rules that there may be.
    """

    def __init__(self, max_rules: int | None) -> None:
        self._max_rules = max_rules
        self._total = self.limit = MOST if max_rules is None else max_rules
        self._held: int | None = None  # what the full table held
        self._back_off = 0
        self._raise_at = 0
        self._raised = False  # since the table was full
        self._pressed = 0

    @property
    def high(self) -> int:
        """From here on rules are aggregated."""
        return self.limit * 3 // 4

    @property
    def low(self) -> int:
        """Up to here aggregates are dissolved."""
        return self.limit // 2

    @property
    def worth(self) -> int:
        """What an aggregation must save before the budget is used up."""
        return max(1, self.limit // 100)

    def has_room_for(self, rules: int | None) -> None:
        """Take note of how many rules of ours the table can hold; None: the switch won't say."""
        if self._max_rules is not None:
            self._total = self._max_rules if rules is None else min(self._max_rules, rules)
        else:
            self._total = UNKNOWN if rules is None else min(MOST, rules)
        self._bound()

    def table_full(self, rules: int, now: int) -> None:
        """Take note that the table is full, and holds so many rules of ours."""
        if self._held is None or self._raised:  # the others are of the same moment
            self._back_off = min(self._back_off * 2 or _BACK_OFF, _MOST_BACK_OFF)
            self._raise_at = now + self._back_off
            self._raised = False
        self._held = rules if self._held is None else min(self._held, rules)
        self._bound()

    def advance(self, now: int) -> None:
        """Let time pass."""
        if self._held is None or now < self._raise_at:
            return
        self._held += max(1, self._held // 4)
        self._raised, self._raise_at = True, now + _BACK_OFF
        if self._held >= self._total:
            self._held, self._back_off = None, 0
        self._bound()

    def press(self, now: int) -> None:
        """Take note that there is pressure."""
        self._pressed = now

    def is_relaxed(self, now: int) -> bool:
        """Tell whether there has been no pressure for a while."""
        return now >= self._pressed + _SETTLED

    def _bound(self) -> None:
        self.limit = self._total if self._held is None else min(self._total, self._held)
