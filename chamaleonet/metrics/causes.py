"""Why something was lost, or a connection closed: the values of two labels."""

from __future__ import annotations

# The causes of chamaleonet_dropped_total.
CAUSES = {
    "ring_full": "either: packets that the ring on its port had no room for",
    "packet_in_early": "controller: packet-ins before it was known from which switch",
    "malformed_packet_in": "controller: packet-ins that cannot be read",
    "flow_table_full": "controller: packets whose new flow found no place (`max_flows`)",
    "detector_died": "controller: flows that waited for their reply in a detector that died",
    "unexpected_packet_in": "controller: packet-ins of a switch whose candidates go to detectors",
    "shed": "controller: packets whose flow was not opened in a flood (`flood.new_flows`)",
    "flow_evicted": "controller: judged flows that lost their place to others (`max_flows`)",
    "metered": "controller: packet-ins that the switch's meters held back (`meters.rate`)",
    "packet_in_lost": "controller: packet-ins that passed a meter, but never came: the switch's"
    " queues were full",
    "redirect_rules_full": "controller: redirect rules that found no room in their budget, all"
    " aggregation done",
    "stream_queue_full": "controller: records beyond `stream.queue`, where there is no spool",
    "stream_spool_full": "controller: records beyond `stream.spool.size`",
    "stream_spool_failed": "controller: records that the spool's disk did not take",
    "stream_spool_damaged": "controller: records in the spool that cannot be read",
    "stream_undelivered": "controller: records not acknowledged when it ended, for which the spool"
    " had no room (the logger may have some)",
    "stream_follower_slow": "controller: records that a follower did not take in time",
    "stream_connection": "either: connections of the stream that broke in their handshake",
    "stream_malformed": "either: connections closed for a message that is not as documented",
    "stream_oversized": "either: connections closed for a frame that is too long",
    "stream_version": "either: connections closed for another version of the stream",
    "stream_truncated": "either: connections that ended inside a frame",
    "stream_busy": "controller: connections refused: too many, or another consumer acknowledges",
    "not_erroneous": "logger: packets of flows that are not (or no longer) erroneous",
    "disk_full": "logger: packets at its port while the disk took nothing",
    "syslog_queue_full": "logger: messages beyond what waits for the syslog daemon",
    "syslog_failed": "logger: messages that the syslog daemon did not take",
    "hold_full": "logger: packets not written, for too many waited for their verdict",
    "flows_full": "logger: verdicts ignored, for too many flows are erroneous at once",
    **{
        kind: f"logger: packets at its port that docs/verdicts.md counts as `{kind}`"
        for kind in ("non_ip", "malformed", "fragments", "excluded", "icmp_info")
    },
}
# The causes of chamaleonet_openflow_errors_total.
OPENFLOW_ERRORS = {
    "version": "another version than OpenFlow 1.3, or one that changed",
    "type": "a message that no switch sends",
    "length": "a length that no message of its type has",
    "order": "a message at a time when it makes no sense, such as before the hello",
    "malformed": "a message that cannot be parsed",
    "multipart": "a reply in parts without end",
    "truncated": "the connection ended within a message",
    "tls": "TLS that failed: no TLS at all, no certificate, one of another authority",
    "certificate": "a certificate without the name that `switches[].certificate` asks for",
    "unread": "the switch does not take what it is sent",
    "silent": "the switch connected anew, and its former connection did not answer",
    "auxiliary": "an auxiliary connection: all is said on the main one",
    "unknown_datapath": "a switch that is not configured (`chamaleonet run` alone)",
    "duplicate_datapath": "a switch that is connected already, and answers there",
    "handshake_timeout": "a handshake that took longer than `openflow.handshake_timeout`",
    "handshake_flood": "the oldest of too many unfinished handshakes",
}


def causes_of(process: str) -> list[str]:
    """Return the causes that a process (``controller`` or ``logger``) can drop by."""
    return [cause for cause, text in CAUSES.items() if text.startswith((process, "either"))]
