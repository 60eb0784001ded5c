"""Holds a switch's verdicts suspect while replies are out of sight.

Verdicts of an internal prefix and direction are suspect while flows.visibility says so, and all of
them for a while after packets were lost on their way to us.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

from chamaleonet.flows.records import Direction, Quality
from chamaleonet.flows.visibility import Change, Reason, Thresholds, Visibility

if TYPE_CHECKING:
    from chamaleonet.config import Config, Switch
    from chamaleonet.metrics import ControllerMetrics
    from chamaleonet.switch.judge import Judge
    from chamaleonet.switch.quality import Qualities

log = logging.getLogger(__name__)

_FEW = 10  # lost packets are no reason to suspect everybody


class Losses:
    """What packets that were lost on their way to us mean for verdicts.

    Args:
        part: of all packets; if more were lost, verdicts are suspect.
        lasting: ns that a lost reply can still bring about a verdict; may be changed later.
    """

    def __init__(self, part: float, lasting: int) -> None:
        self._part, self.lasting = part, lasting
        self._lost = self._judged = 0
        self._until = dict.fromkeys((Quality.DEGRADED, Quality.SUSPECT), 0)

    def look(self, lost: int, judged: int, now: int) -> Quality:
        """Return the quality of verdicts from now on.

        Args:
            lost: packets that were lost so far.
            judged: packets that were judged so far.
            now: ns of any clock that runs evenly.
        """
        lately, of = lost - self._lost, lost - self._lost + judged - self._judged
        self._lost, self._judged = lost, judged
        if lately > 0:
            many = lately >= _FEW and lately > self._part * of
            self._until[Quality.SUSPECT if many else Quality.DEGRADED] = now + self.lasting
        holding = (quality for quality, until in self._until.items() if now < until)
        return max(holding, default=Quality.SOUND)


class Sight:
    """Watches what a probe can see.

    Args:
        config: the whole configuration.
        switch: the probe's.
        judge: whose verdicts they are.
        qualities: told how far they can be relied on.
        metrics: where to tell.
    """

    def __init__(
        self, config: Config, switch: Switch, judge: Judge, qualities: Qualities,
        metrics: ControllerMetrics,
    ) -> None:  # fmt: skip
        settings = config.visibility
        self._name, self._judge, self._qualities = switch.name, judge, qualities
        self._enabled = settings.enabled
        self._thresholds = Thresholds(
            interval=settings.interval, clients=settings.clients, cliff=settings.cliff,
            recovery=settings.recovery,
        )  # fmt: skip
        self._visibility: Visibility | None = None  # until it is known what time it is
        self._losses = Losses(settings.losses, 0)
        self._lost = Quality.SOUND
        self._next = 0
        self._gauges = {
            (direction, reason): metrics.suspect.labels(direction.label, reason.value)
            for direction in Direction
            for reason in Reason
        }

        self._recovery = settings.recovery
        self.set_timeout(config.timeout)

    def set_timeout(self, timeout: int) -> None:
        """Take note of the timeout, ns: so long a reply that is not seen can bring a verdict."""
        self._losses.lasting = lasting = timeout + 2 * self._thresholds.interval
        self._thresholds = replace(self._thresholds, recovery=max(self._recovery, lasting))
        if self._visibility is not None:
            self._visibility.thresholds = self._thresholds

    def look(self, lost: int, now: int) -> None:
        """Look around; quickly done where nothing is due.

        Args:
            lost: packets that were lost on their way to us so far.
            now: ns, of the judge's clock.
        """
        if not self._enabled:
            return
        if self._visibility is None:
            self._visibility = Visibility(self._judge.sights, self._thresholds, now)
        if now >= self._next:
            self._next = now + self._thresholds.interval
            self._look_for_losses(lost, now)
        for change in self._visibility.look(now):
            self._tell(change)

    def _look_for_losses(self, lost: int, now: int) -> None:
        quality = self._losses.look(lost, self._judge.packets, now)
        if quality is self._lost:
            return
        was, self._lost = self._lost, quality
        for direction in Direction:
            self._qualities.hold(Reason.DROPS, direction, quality)
            self._gauges[direction, Reason.DROPS].set(quality is Quality.SUSPECT)
        if quality is Quality.SUSPECT:
            log.warning("%s: packets are lost on their way to us: verdicts are suspect", self._name)
        elif was is Quality.SUSPECT:
            log.warning("%s: verdicts are %s again", self._name, quality.label)

    def _tell(self, change: Change) -> None:
        prefix, direction, reason, suspect = change
        told_of_all = prefix and self._qualities[direction] is Quality.SUSPECT
        quality = Quality.SUSPECT if suspect else Quality.SOUND
        self._qualities.hold("out of sight", direction, quality, prefix)
        self._gauges[direction, reason].inc(1 if suspect else -1)
        whose = f" of {self._judge.prefixes[prefix - 1]}" if prefix else ""
        log.log(
            logging.DEBUG if told_of_all else logging.WARNING,
            "%s: replies to %s flows%s are %s",
            self._name, direction.label, whose,
            f"out of sight ({reason}): their verdicts are suspect" if suspect else "in sight again",
        )  # fmt: skip
