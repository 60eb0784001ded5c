"""Verdicts as syslog messages (RFC 5424)."""

from __future__ import annotations

import os
import re
import socket
from typing import TYPE_CHECKING

from chamaleonet.errors import UserError
from chamaleonet.flows.records import Quality
from chamaleonet.flows.transitions import State
from chamaleonet.log.columns import protocol_name
from chamaleonet.log.events.rows import rfc3339
from chamaleonet.log.events.words import sentence
from chamaleonet.units import FACILITIES

if TYPE_CHECKING:
    from chamaleonet.log.events.rows import Row

_WARNING, _NOTICE, _INFORMATIONAL = 4, 5, 6
# What is captured by default is worth a warning, what may be captured a notice.
_SEVERITIES = {
    State.UNANSWERED.label: _WARNING, State.ICMP_ERROR.label: _WARNING,
    State.REFUSED.label: _NOTICE, State.UNSOLICITED.label: _NOTICE,
}  # fmt: skip

# 32473 is the enterprise number that RFC 5612 sets aside for documentation: we have none.
SD_ID = "chamaleonet@32473"
# The parameters of the structured data, named as the columns of the flow log; where a column is
# null there is no parameter.
PARAMETERS = (
    "verdict", "direction", "protocol", "client", "client_port", "server", "server_port", "vlan",
    "attempts", "reply_delay", "icmp_type", "icmp_code", "icmp_sender", "community_id", "first",
    "quality",
)  # fmt: skip

_ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "]": "\\]"})
_HOSTNAME = re.compile("[!-~]{1,255}")


def escaped(value: object) -> str:
    """Return a value as a PARAM-VALUE (section 6.3.3)."""
    return str(value).translate(_ESCAPES)


def _severity(row: Row) -> int:
    """Return how bad it is; what is suspect alarms nobody."""
    if row.quality == Quality.SUSPECT.label:
        return _INFORMATIONAL
    return _SEVERITIES.get(row.verdict, _INFORMATIONAL)


class Messages:
    """Makes messages.

    Args:
        facility: one of units.FACILITIES.
        hostname: the HOSTNAME of messages; by default this machine's, or "-" if that cannot stand
            in a message.

    Raises:
        UserError: there is no such facility.
    """

    def __init__(self, facility: str, hostname: str | None = None) -> None:
        if facility not in FACILITIES:
            raise UserError(f"{facility}: no facility (choose of: {', '.join(FACILITIES)})")
        self._facility = FACILITIES.index(facility)
        name = hostname or socket.gethostname()
        host = name if _HOSTNAME.fullmatch(name) else "-"
        self._sender = f"{host} chamaleonet {os.getpid()} VERDICT"

    def verdict(self, row: Row) -> bytes:
        """Return the message that tells a flow's verdict; its TIMESTAMP is that of the verdict.

        The text is ASCII, so it is UTF-8 without the byte order mark that RFC 5424 has before
        UTF-8 and that daemons show as three odd characters.
        """
        values = row._asdict() | {
            "protocol": protocol_name(row.protocol),
            "reply_delay": None if row.reply_delay is None else row.reply_delay / 1e9,
            "first": rfc3339(row.first),
        }
        parameters = "".join(
            f' {name}="{escaped(values[name])}"' for name in PARAMETERS if values[name] is not None
        )
        priority = 8 * self._facility + _severity(row)
        return (
            f"<{priority}>1 {rfc3339(row.judged, 6)} {self._sender}"
            f" [{SD_ID}{parameters}] {sentence(row)}"
        ).encode("ascii")
