"""All metrics, in one place, and the HTTP server that Prometheus scrapes.

Labels never name a host or a port; units are base units. Label children are cached: looking one
up costs twice the increment itself.
"""

from chamaleonet.metrics.causes import CAUSES, OPENFLOW_ERRORS, causes_of
from chamaleonet.metrics.controller import ControllerMetrics
from chamaleonet.metrics.logger import LoggerMetrics
from chamaleonet.metrics.registry import BeforeScrape, Registry, new_registry, serve
from chamaleonet.metrics.totals import Total, Totals

__all__ = [
    "CAUSES",
    "OPENFLOW_ERRORS",
    "BeforeScrape",
    "ControllerMetrics",
    "LoggerMetrics",
    "Registry",
    "Total",
    "Totals",
    "causes_of",
    "new_registry",
    "serve",
]
