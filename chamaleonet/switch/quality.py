"""How far a switch's verdicts can be relied on, where several reasons have a say in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chamaleonet.flows.records import Direction, Quality

if TYPE_CHECKING:
    from collections.abc import Callable


class Qualities:
    """The quality of each direction: of all reasons' opinions, the highest holds.

    Args:
        tell: called with (direction, quality) when a direction's quality changes; in a probe the
            engine's ``set_quality``.
    """

    def __init__(self, tell: Callable[[Direction, Quality], None]) -> None:
        self._tell = tell
        self._reasons: dict[Direction, dict[str, Quality]] = {way: {} for way in Direction}

    def __getitem__(self, direction: Direction) -> Quality:
        return max(self._reasons[direction].values(), default=Quality.SOUND)

    def hold(self, reason: str, direction: Direction, quality: Quality) -> None:
        """Hold a direction's verdicts to be of this quality, until the same reason says otherwise.

        Args:
            reason: any short name; each reason speaks for itself alone.
            direction: of flows.
            quality: SOUND where there is nothing to say (any more).
        """
        was = self[direction]
        if quality is Quality.SOUND:
            self._reasons[direction].pop(reason, None)
        else:
            self._reasons[direction][reason] = quality
        if self[direction] is not was:
            self._tell(direction, self[direction])
