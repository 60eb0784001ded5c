"""Findings that the operator knows of and does not want to see for a while.

A YAML file; addresses may be prefixes, and evidence is suppressed to which all that is said
applies::

    suppressions:
      - kind: stale_server
        server: 192.0.2.7
        port: 8080
        until: 2027-01-31
        reason: the mirror moves in January
"""

from __future__ import annotations

from datetime import date  # noqa: TC003  (read by pydantic)
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from chamaleonet import yamlfile
from chamaleonet.config import Section
from chamaleonet.units import Network, network

if TYPE_CHECKING:
    from chamaleonet.analysis.findings.finding import Evidence

FindingKind = Literal[
    "stale_server",
    "dns_dead_resolver",
    "ntp_dead_peer",
    "listed_contact",
    "port_unreachable_reflection",
    "dns_accelerator",
    "internal_scanner",
    "parallel_ports",
    "outage",
    "misaddressed_monitoring",
    "slow_server",
    "server_outage",
]
Addresses = Annotated[Network, BeforeValidator(network)]
Port = Annotated[int, Field(ge=0, le=65535)]


class Suppression(Section):
    """What is not to be shown: evidence for which all that is given here is true."""

    kind: FindingKind | None = Field(default=None, description="The finding's kind.")
    host: Addresses | None = Field(
        default=None, description="Address or prefix of the internal host to mend."
    )
    client: Addresses | None = Field(default=None, description="Address or prefix of the client.")
    server: Addresses | None = Field(default=None, description="Address or prefix of the server.")
    port: Port | None = Field(default=None, description="Port of the server.")
    until: date = Field(description="The last day of it, UTC.")
    reason: str = Field(min_length=1, description="Why; it is shown in the report.")

    @model_validator(mode="after")
    def _something(self) -> Self:
        if not self.model_fields_set - {"until", "reason"}:
            raise ValueError("say what is suppressed: kind, host, client, server or port")
        return self

    def expired(self, today: date) -> bool:
        """Return whether its last day has passed."""
        return today > self.until

    def covers(self, kind: str, evidence: Evidence) -> bool:
        """Return whether evidence of a finding is not to be shown."""
        return (
            self.kind in (None, kind)
            and _within(evidence.host, self.host)
            and _within(evidence.client, self.client)
            and _within(evidence.server, self.server)
            and self.port in (None, evidence.port)
        )


class Suppressions(Section):
    """The file: a list under one key."""

    suppressions: tuple[Suppression, ...] = Field(
        default=(), description="What is not to be shown."
    )


def _within(address: str | None, prefix: Network | None) -> bool:
    return prefix is None or (address is not None and ip_address(address) in prefix)


def load(path: Path | str) -> tuple[Suppression, ...]:
    """Read a file of suppressions.

    Raises:
        UserError: the file cannot be read, is no YAML, or says something that is not allowed; the
            message is ``file:line: field: what is wrong``.
    """
    return yamlfile.read(Path(path), Suppressions).suppressions
