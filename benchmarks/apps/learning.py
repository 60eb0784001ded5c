"""A learning switch as Ryu's tutorial teaches it, with the packet library."""

from __future__ import annotations

from importlib import import_module

from chamaleonet.switch import framework


class Learning(framework.App):
    OFP_VERSIONS = [framework.ofproto.OFP_VERSION]  # noqa: RUF012

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.port_of = {}
        self.packet = import_module(f"{framework.NAME}.lib.packet.packet")
        self.ethernet = import_module(f"{framework.NAME}.lib.packet.ethernet")

    @framework.on(framework.ofp_event.EventOFPPacketIn, framework.MAIN_DISPATCHER)
    def packet_in(self, event):
        message = event.msg
        header = self.packet.Packet(message.data).get_protocols(self.ethernet.ethernet)[0]
        ports = self.port_of.setdefault(message.datapath.id, {})
        ports[header.src] = message.match["in_port"]
        ports.get(header.dst)
