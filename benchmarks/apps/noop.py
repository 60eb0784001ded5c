"""A handler for packet-ins that does nothing: what the framework itself takes."""

from __future__ import annotations

from chamaleonet.switch import framework


class Noop(framework.App):
    OFP_VERSIONS = [framework.ofproto.OFP_VERSION]  # noqa: RUF012

    @framework.on(framework.ofp_event.EventOFPPacketIn, framework.MAIN_DISPATCHER)
    def packet_in(self, event):
        pass
