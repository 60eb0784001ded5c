"""A lease of Kubernetes (coordination.k8s.io/v1), as its own components elect their leaders.

The API server keeps an object whose holder renews a time in it; every write names the version that
it replaces, so of two that write at once one is refused. Whether a lease has run out is judged by
our own clock, from when we saw it renewed last, never by the time that is written in it. The term
is one more than the number of changes of the holder.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from chamaleonet.election.lease import LeaseError

if TYPE_CHECKING:
    from collections.abc import Callable

    from chamaleonet.election.http import JsonClient

_CONFLICT, _NOT_FOUND = 409, 404


class KubernetesLease:
    """See lease.Lease.

    Args:
        client: leads to the API server.
        namespace: of the lease.
        name: its name.
        identity: who we are; a process that follows ours has the same and goes on at once.
        seconds: the lease's time, whole.
        clock: seconds, of a clock that runs evenly.
        now: the time, to be written into the lease.
    """

    def __init__(
        self,
        client: JsonClient,
        namespace: str,
        name: str,
        identity: str,
        seconds: int,
        *,
        clock: Callable[[], float],
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._client, self._identity, self._seconds = client, identity, seconds
        self._clock, self._now = clock, now
        self._path = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"
        self._metadata = {"name": name, "namespace": namespace}
        self._name = name
        self._seen: tuple[Any, Any] | None = None  # holder, time of renewal
        self._since = 0.0  # when we saw that first

    def hold(self) -> int | None:
        """Take or renew the lease."""
        lease = self._read()
        if lease is None:
            return self._write("POST", self._path, self._metadata, self._spec(0, None))
        spec = lease.get("spec") or {}
        holder = spec.get("holderIdentity") or ""
        if holder not in ("", self._identity) and not self._has_run_out(spec):
            return None
        transitions = int(spec.get("leaseTransitions") or 0) + (holder != self._identity)
        since = spec.get("acquireTime") if holder == self._identity else None
        return self._write(
            "PUT", f"{self._path}/{self._name}", lease["metadata"], self._spec(transitions, since)
        )

    def _has_run_out(self, spec: dict[str, Any]) -> bool:
        seen = spec.get("holderIdentity"), spec.get("renewTime")
        if seen != self._seen:
            self._seen, self._since = seen, self._clock()
        seconds = spec.get("leaseDurationSeconds") or self._seconds
        return self._clock() - self._since >= seconds

    def _spec(
        self, transitions: int, since: str | None, holder: str | None = None
    ) -> dict[str, Any]:
        now = self._now().strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        return {
            "holderIdentity": self._identity if holder is None else holder,
            "leaseDurationSeconds": self._seconds,
            "acquireTime": since or now,
            "renewTime": now,
            "leaseTransitions": transitions,
        }

    def _read(self) -> dict[str, Any] | None:
        status, lease = self._client.ask("GET", f"{self._path}/{self._name}")
        if status == _NOT_FOUND:
            return None
        if status != 200 or not isinstance(lease, dict):
            raise LeaseError(f"Kubernetes: status {status}")
        return lease

    def _write(
        self, method: str, path: str, metadata: dict[str, Any], spec: dict[str, Any]
    ) -> int | None:
        body = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease"}
        status, _ = self._client.ask(method, path, {**body, "metadata": metadata, "spec": spec})
        if status == _CONFLICT:
            return None
        if status not in (200, 201):
            raise LeaseError(f"Kubernetes: status {status}")
        return int(spec["leaseTransitions"]) + 1

    def release(self) -> None:
        """Name nobody as holder."""
        try:
            lease = self._read()
            if lease is not None and lease["spec"].get("holderIdentity") == self._identity:
                transitions = int(lease["spec"].get("leaseTransitions") or 0)
                spec = self._spec(transitions, None, holder="")
                self._write("PUT", f"{self._path}/{self._name}", lease["metadata"], spec)
        except LeaseError:
            pass  # then it runs out
