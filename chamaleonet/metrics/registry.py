"""What every process tells of itself, and the HTTP server that Prometheus scrapes."""

from __future__ import annotations

import hashlib
import platform
from typing import TYPE_CHECKING

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Info,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
    start_http_server,
)

from chamaleonet import __version__
from chamaleonet.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Callable

    from prometheus_client import Metric

    from chamaleonet.config import Endpoint

PREFIX = "chamaleonet"


class Registry(CollectorRegistry):
    """A registry that tells by which configuration the process runs."""

    def __init__(self) -> None:
        super().__init__()
        self._config = Info(f"{PREFIX}_config", "The configuration in force.", registry=self)

    def configured(self, configuration: str) -> None:
        """Tell the digest of the effective configuration's text."""
        self._config.info({"sha256": hashlib.sha256(configuration.encode()).hexdigest()[:16]})


def new_registry(configuration: str) -> Registry:
    """Return a registry that tells about the process, the build and the configuration.

    Args:
        configuration: the effective configuration's text; its digest tells whether two processes
            run with the same one.
    """
    disable_created_metrics()  # type: ignore[no-untyped-call]  # the process's start tells enough
    registry = Registry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    build = Info(f"{PREFIX}_build", "The version that runs.", registry=registry)
    build.info({"version": __version__, "python": platform.python_version()})
    registry.configured(configuration)
    return registry


class BeforeScrape:
    """Calls back before the metrics registered after it are collected."""

    def __init__(self, registry: CollectorRegistry, update: Callable[[], None]) -> None:
        self._update = update
        registry.register(self)

    def describe(self) -> list[Metric]:
        """Tell, as asked when it is registered, that it has no metrics of its own."""
        return []

    def collect(self) -> list[Metric]:
        """Bring the others up to date."""
        self._update()
        return []


class Declared:
    """What a process declares; names are given without the prefix that all have."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"{PREFIX}_{name}", text, labels, registry=self._registry)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(f"{PREFIX}_{name}", text, labels, registry=self._registry)


def serve(registry: CollectorRegistry, endpoint: Endpoint) -> Callable[[], None]:
    """Serve a registry over HTTP, in the background; return what stops it.

    Under eventlet's monkey-patching the background thread is a greenlet.

    Raises:
        UserError: the address cannot be listened on.
    """
    try:
        server, thread = start_http_server(endpoint.port, endpoint.host, registry)
    except OSError as error:
        raise UserError(f"metrics: cannot listen on {endpoint}: {error.strerror}") from None

    def stop() -> None:
        server.shutdown()
        server.server_close()
        thread.join()

    return stop
