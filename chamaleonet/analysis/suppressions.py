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
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

import yaml
from pydantic import BeforeValidator, Field, ValidationError, model_validator

from chamaleonet.config import Section, _complaint, _lines, _Loader
from chamaleonet.errors import UserError
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

    suppressions: tuple[Suppression, ...] = Field(description="What is not to be shown.")


def _within(address: str | None, prefix: Network | None) -> bool:
    return prefix is None or (address is not None and ip_address(address) in prefix)


def load(path: Path | str) -> tuple[Suppression, ...]:
    """Read a file of suppressions.

    Raises:
        UserError: the file cannot be read, is no YAML, or says something that is not allowed; the
            message is ``file:line: field: what is wrong``.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UserError(f"{path}: not UTF-8 text") from None
    try:
        tree = yaml.compose(text, Loader=_Loader)
        lines: dict[Any, int] = dict(_lines(tree)) if tree is not None else {(): 1}
        document = yaml.load(text, Loader=_Loader)  # noqa: S506  (derived from SafeLoader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise UserError(f"{path}:{line}: {error.problem or error.context}") from None
    except (yaml.YAMLError, RecursionError) as error:
        raise UserError(f"{path}: {str(error).splitlines()[0]}") from None
    if document is None:
        document = {"suppressions": ()}
    if not isinstance(document, dict):
        raise UserError(f"{path}:1: the file must hold the key suppressions")
    try:
        return Suppressions.model_validate(document).suppressions
    except ValidationError as error:
        raise UserError(_complaint(path, lines, error)) from None
