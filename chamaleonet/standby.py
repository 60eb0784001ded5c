"""Two controllers: what one of them needs to follow the other, put together."""

from __future__ import annotations

import logging
import math
import socket
import ssl
import threading
import time
from typing import TYPE_CHECKING

from chamaleonet.checkpoint import DamagedError, decode
from chamaleonet.election.etcd import EtcdLease
from chamaleonet.election.feed import Feed, FeedReader, Frame, pack
from chamaleonet.election.http import JsonClient
from chamaleonet.election.kubernetes import KubernetesLease
from chamaleonet.election.lease import ASKS, Candidacy, LeaseError
from chamaleonet.election.priority import PriorityLease
from chamaleonet.errors import UserError
from chamaleonet.log.stream.endpoint import Endpoint

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from chamaleonet.checkpoint import Checkpoints, Saved
    from chamaleonet.config import HighAvailability
    from chamaleonet.election.lease import Lease

log = logging.getLogger(__name__)


class Standby:
    """A node of two, until its process ends: first it stands by, then it may be master.

    Args:
        settings: of the configuration.
        checkpoints: what is told to the other node while we are master.
        datapaths: returns the ids of the switches.
        generation: returns the greatest generation id that a switch has told of, or 0.

    Attributes:
        is_master: whether we have taken over; set by the controller.

    Raises:
        UserError: an address or a file that the configuration names cannot be used.
    """

    def __init__(
        self,
        settings: HighAvailability,
        checkpoints: Checkpoints,
        datapaths: Callable[[], list[int]],
        generation: Callable[[], int],
    ) -> None:
        self.is_master = False
        self._checkpoints, self._datapaths = checkpoints, datapaths
        self._generation = generation
        self._copies: dict[int, bytearray] = {}
        self._priority = settings.priority.value if settings.priority is not None else 0
        self._reader = FeedReader(Endpoint(settings.peer, settings.tls), self._take)
        self._feed = Feed(
            Endpoint(settings.listen, settings.tls),
            lambda: (self._priority, self.is_master),
            self._current,
        )
        seconds = settings.lease // 10**9
        self._pause = seconds / ASKS
        # By priority, a term ends when the switch obeys the other one.
        sure = seconds if settings.priority is None else math.inf
        self._candidacy = Candidacy(self._lease(settings, seconds), sure, time.monotonic)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._stand, name="candidacy", daemon=True)
        self._thread.start()

    def _lease(self, settings: HighAvailability, seconds: int) -> Lease:
        identity = settings.identity or socket.gethostname()
        # Several questions are asked in a row, and all must be answered well before the end.
        timeout = seconds / 5
        if settings.etcd is not None:
            servers = settings.etcd.servers
            tls = settings.etcd.tls
            endpoint = Endpoint("tcp:etcd:0", tls) if tls is not None else None
            context = endpoint.client_context() if endpoint is not None else None
            client = JsonClient(servers, timeout, context=context)
            return EtcdLease(client, settings.etcd.key, identity, seconds)
        if settings.kubernetes is not None:
            service = settings.kubernetes
            client = JsonClient(
                (service.server,), timeout, context=_authority(service.ca),
                headers=lambda: _authorization(service.token),
            )  # fmt: skip
            return KubernetesLease(
                client, service.namespace, service.name, identity, seconds, clock=time.monotonic
            )
        assert settings.priority is not None
        preempt = settings.priority.preempt
        return PriorityLease(
            self._priority, seconds, lambda: self._reader.peer, self._new_term,
            clock=time.monotonic, preempt=None if preempt is None else preempt / 1e9,
        )  # fmt: skip

    def _new_term(self) -> int:
        """Return a number greater than the switches have seen: the time, as a rule."""
        return max(time.time_ns(), self._generation() + 1)

    def _stand(self) -> None:
        while not self._stop.is_set():
            self._candidacy.ask()
            self._stop.wait(self._pause)

    @property
    def term(self) -> int | None:
        """The term in which we may be master now, or None."""
        return self._candidacy.term

    def tell(self, kind: Frame, datapath_id: int, data: bytes) -> None:
        """Tell the other node what we write to a switch's checkpoint; never waits."""
        self._feed.put(kind, datapath_id, data)

    def _current(self) -> list[bytes]:
        if not self.is_master:
            return []
        return [
            pack(Frame.BEGIN, datapath_id, data)
            for datapath_id in self._datapaths()
            if (data := self._checkpoints.of(datapath_id).read())
        ]

    def _take(self, kind: Frame, datapath_id: int, data: bytes) -> None:
        # In memory: a standby whose disk is slow must not fall behind.
        if self.is_master or datapath_id not in self._datapaths():
            return
        if kind is Frame.BEGIN:
            self._copies[datapath_id] = bytearray(data)
        elif datapath_id in self._copies:
            self._copies[datapath_id] += data

    def take_copy(self, datapath_id: int) -> Saved | None:
        """Return what the other node told last of a switch, once; None if it told nothing."""
        copy = self._copies.pop(datapath_id, None)
        try:
            return decode(bytes(copy)) if copy is not None else None
        except DamagedError as error:
            log.warning("what the other node told is ignored: %s", error)
            return None

    def close(self, *, resign: bool) -> None:
        """End.

        Args:
            resign: let the other node be master at once; only when all is told.
        """
        self._stop.set()
        self._thread.join()
        self._reader.close()
        if resign:
            self._candidacy.resign()
        self._feed.close()


def _authority(path: Path | None) -> ssl.SSLContext | None:
    if path is None:
        return None
    try:
        return ssl.create_default_context(cafile=str(path))
    except (OSError, ssl.SSLError) as error:
        raise UserError(f"{path}: cannot be used: {error}") from None


def _authorization(path: Path | None) -> dict[str, str]:
    if path is None:
        return {}
    try:  # it is replaced before it expires: read it each time
        return {"Authorization": f"Bearer {path.read_text().strip()}"}
    except OSError as error:
        raise LeaseError(f"{path}: {error.strerror}") from None
