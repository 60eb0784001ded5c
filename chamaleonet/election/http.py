"""JSON over HTTP to a service of which there may be several servers."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from http.client import HTTPException
from typing import TYPE_CHECKING, Any

from chamaleonet.election.lease import LeaseError

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Sequence

_MOST_BYTES = 1 << 20


class JsonClient:
    """Asks one server after the other until one answers. Proxies of the environment are not used.

    Args:
        servers: ``http://`` or ``https://`` addresses.
        timeout: seconds that a server may take.
        context: for TLS.
        headers: returns more headers of a request.
    """

    def __init__(
        self,
        servers: Sequence[str],
        timeout: float,
        *,
        context: ssl.SSLContext | None = None,
        headers: Callable[[], dict[str, str]] = dict,
    ) -> None:
        self._servers = [server.rstrip("/") for server in servers]
        self._timeout, self._headers = timeout, headers
        handlers: list[urllib.request.BaseHandler] = [urllib.request.ProxyHandler({})]
        if context is not None:
            handlers.append(urllib.request.HTTPSHandler(context=context))
        self._opener = urllib.request.build_opener(*handlers)

    def ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> tuple[int, Any]:
        """Return (status, JSON of the answer).

        Raises:
            LeaseError: no server gives an answer that is one.
        """
        causes = []
        for _ in range(len(self._servers)):
            server = self._servers[0]
            try:
                return self._ask(method, server + path, body)
            except (OSError, HTTPException, ValueError) as error:
                reason = getattr(error, "reason", error)
                causes.append(f"{server}: {reason or type(error).__name__}")
                self._servers.append(self._servers.pop(0))  # it is the last one next time
        raise LeaseError("; ".join(causes))

    def _ask(self, method: str, url: str, body: dict[str, Any] | None) -> tuple[int, Any]:
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"} | self._headers()
        request = urllib.request.Request(url, data, headers, method=method)  # noqa: S310  (http only)
        try:
            with self._opener.open(request, timeout=self._timeout) as answer:
                return answer.status, json.loads(answer.read(_MOST_BYTES))
        except urllib.error.HTTPError as error:
            with error:
                if error.code >= 500:
                    raise
                return error.code, None
