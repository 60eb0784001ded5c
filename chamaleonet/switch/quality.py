"""How far a switch's verdicts can be relied on, where several reasons have a say in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from chamaleonet.flows.records import Direction, Quality

if TYPE_CHECKING:
    from collections.abc import Iterator


class Tell(Protocol):
    """Sets the quality of verdicts: a flow engine's ``set_quality``."""

    def __call__(self, direction: Direction, quality: Quality, prefix: int = 0) -> object:
        """Set it for a direction, and for one internal prefix or for all (0)."""


class Qualities:
    """The quality of each direction and internal prefix: of all opinions, the highest holds.

    Args:
        tell: called when a quality changes; in a probe the engine's ``set_quality``.
    """

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self._reasons: dict[tuple[Direction, int], dict[str, Quality]] = {
            (way, 0): {} for way in Direction
        }

    def __getitem__(self, direction: Direction) -> Quality:
        return self.of(direction)

    def of(self, direction: Direction, prefix: int = 0) -> Quality:
        """Return the quality of a direction, and of one of its prefixes."""
        opinions = {(direction, 0), (direction, prefix)} & self._reasons.keys()
        said = (quality for key in opinions for quality in self._reasons[key].values())
        return max(said, default=Quality.SOUND)

    def hold(self, reason: str, direction: Direction, quality: Quality, prefix: int = 0) -> None:
        """Hold verdicts to be of this quality, until the same reason says otherwise.

        Args:
            reason: any short name; each reason speaks for itself alone.
            direction: of flows.
            quality: SOUND where there is nothing to say (any more).
            prefix: number of the internal prefix that it is about; 0: all.
        """
        was = self.of(direction, prefix)
        opinions = self._reasons.setdefault((direction, prefix), {})
        if quality is Quality.SOUND:
            opinions.pop(reason, None)
        else:
            opinions[reason] = quality
        now = self.of(direction, prefix)
        if now is was:
            return
        if prefix:
            self._tell(direction, now, prefix)
            return
        self._tell(direction, now)
        for other in self._prefixes(direction):  # that was said of all of them
            self._tell(direction, self.of(direction, other), other)

    def _prefixes(self, direction: Direction) -> Iterator[int]:
        """Yield the prefixes that anything is held of alone."""
        for (way, prefix), opinions in self._reasons.items():
            if prefix and way is direction and opinions:
                yield prefix
