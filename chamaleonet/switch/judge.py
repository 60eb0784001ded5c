"""Who judges a switch's packets: one flow engine here, or detectors in processes of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from chamaleonet.capture.batch import PacketBatch
    from chamaleonet.flows.engine import Output, Settings
    from chamaleonet.flows.records import Direction, Quality
    from chamaleonet.flows.sights import Sights
    from chamaleonet.flows.snapshot import Snapshot
    from chamaleonet.flows.transitions import State
    from chamaleonet.units import Network


class Judge(Protocol):
    """What a probe, and who looks at it, asks of a flow engine; flows.engine.Engine says more."""

    def judge(self, batch: PacketBatch) -> Iterator[Output]:
        """Judge a batch of packets."""

    def advance(self, now: int) -> Iterator[Output]:
        """Let time pass, to ``now`` (ns)."""

    def finish(self) -> Iterator[Output]:
        """End every flow."""

    def forget(self, row: int, first: int) -> Iterator[Output]:
        """End one flow."""

    def set_quality(self, direction: Direction, quality: Quality, prefix: int = 0) -> None:
        """Say how far verdicts can be relied on from now on."""

    @property
    def prefixes(self) -> tuple[Network, ...]:
        """The internal prefixes by their number, which begins with 1."""

    @property
    def sights(self) -> Sights:
        """Who asked and who was heard; to be cleared by who reads it."""

    def live_flows(self, states: tuple[State, ...]) -> NDArray[Any]:
        """Return copies of the live flows in these states: FLOW, shape (n,)."""

    def snapshot(self, most: int) -> Snapshot:
        """Return copies of the live flows, at most so many."""

    def restore(self, flows: Snapshot) -> NDArray[Any]:
        """Go on with another judge's flows; return the FLOW_EVENTs of those that are here now."""

    @property
    def now(self) -> int:
        """The largest timestamp so far, ns."""

    @property
    def packets(self) -> int:
        """Packets judged so far."""

    @property
    def untracked(self) -> int:
        """Packets that would have opened a flow, but found the table full."""

    @property
    def shed(self) -> int:
        """Packets whose flow was not opened, or before them, for there were too many."""

    @property
    def evicted_judged(self) -> int:
        """Judged flows, others than answered ones, that lost their place to another."""

    @property
    def degraded(self) -> frozenset[Direction]:
        """The directions that flows are lost of, so that verdicts are DEGRADED."""

    @property
    def tracked_flows(self) -> int:
        """Flows in the table."""

    @property
    def pending_flows(self) -> int:
        """Flows that wait for an answer."""


class NewJudge(Protocol):
    """Makes a judge: as Engine itself does."""

    def __call__(
        self,
        settings: Settings,
        *,
        judged: tuple[State, ...],
        ended: tuple[State, ...],
        packets: bool,
        closings_seen: bool,
        sight_interval: int,
    ) -> Judge:
        """Return a judge."""
