"""A lease in etcd: a key that lives as long as its holder renews the lease it is bound to.

It speaks the v3 API through etcd's own JSON gateway (etcd.io, "gRPC gateway"), in which 64-bit
numbers are strings and keys and values are base64. The term is the revision at which the key was
created.
"""

from __future__ import annotations

import contextlib
from base64 import b64decode, b64encode
from typing import TYPE_CHECKING, Any

from chamaleonet.election.lease import LeaseError

if TYPE_CHECKING:
    from chamaleonet.election.http import JsonClient


class EtcdLease:
    """See lease.Lease.

    Args:
        client: leads to etcd.
        key: the key.
        identity: who we are; a process that follows ours has the same and goes on at once.
        seconds: the lease's time, whole.
    """

    def __init__(self, client: JsonClient, key: str, identity: str, seconds: int) -> None:
        self._client, self._seconds = client, seconds
        self._key, self._identity = _encoded(key), identity
        self._lease: str | None = None  # its id, while we believe that we hold it

    def hold(self) -> int | None:
        """Take or renew the lease."""
        if self._lease is not None and not self._renew(self._lease):
            self._lease = None
        holder = self._holder()
        if holder is not None and self._lease is not None and holder["lease"] == self._lease:
            return int(holder["create_revision"])
        self._lease = None
        if holder is not None and b64decode(holder.get("value", "")) != self._identity.encode():
            return None
        return self._take(holder)

    def _take(self, holder: dict[str, Any] | None) -> int | None:
        """Bind the key to a new lease of ours, if it is as it was: free, or our predecessor's."""
        lease = self._call("/v3/lease/grant", {"TTL": str(self._seconds)})["ID"]
        unchanged = {"key": self._key, "target": "MOD", "mod_revision": "0"}
        if holder is not None:
            unchanged["mod_revision"] = holder["mod_revision"]
        put = {"key": self._key, "value": _encoded(self._identity), "lease": lease}
        done = self._call("/v3/kv/txn", {"compare": [unchanged], "success": [{"request_put": put}]})
        if not done.get("succeeded"):
            self._call("/v3/lease/revoke", {"ID": lease})
            return None
        self._lease = lease
        return int(done["header"]["revision"] if holder is None else holder["create_revision"])

    def _renew(self, lease: str) -> bool:
        result = self._call("/v3/lease/keepalive", {"ID": lease}).get("result", {})
        return int(result.get("TTL", 0)) > 0

    def _holder(self) -> dict[str, Any] | None:
        kvs = self._call("/v3/kv/range", {"key": self._key}).get("kvs", [])
        return kvs[0] if kvs else None

    def release(self) -> None:
        """Revoke the lease, and the key with it."""
        if self._lease is not None:
            with contextlib.suppress(LeaseError):  # then it runs out
                self._call("/v3/lease/revoke", {"ID": self._lease})
            self._lease = None

    def _call(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        status, answer = self._client.ask("POST", path, body)
        if status != 200 or not isinstance(answer, dict):
            raise LeaseError(f"etcd: {path}: status {status}")
        return answer


def _encoded(text: str) -> str:
    return b64encode(text.encode()).decode()
