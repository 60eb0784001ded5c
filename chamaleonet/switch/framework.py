"""The one door to the OpenFlow framework: os-ken, or Ryu where a Ryu manager runs us.

Both have the same API; everything else in the package takes its names from here.
"""

from __future__ import annotations

import importlib
import os
import struct
import sys
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import eventlet.hubs
import eventlet.wsgi
import greenlet

from chamaleonet.errors import UserError

NAME = (
    "ryu" if "ryu" in sys.modules or os.environ.get("CHAMALEONET_FRAMEWORK") == "ryu" else "os_ken"
)

if NAME == "ryu":
    # Ryu 4.34 imports a name that eventlet has dropped since; it needs the name alone.
    if not hasattr(eventlet.wsgi, "ALREADY_HANDLED"):
        eventlet.wsgi.ALREADY_HANDLED = object()
else:
    # os-ken's default hub runs a thread for each greenlet, and handles 40% fewer packet-ins.
    os.environ.setdefault("OSKEN_HUB_TYPE", "eventlet")


def _load(module: str) -> Any:
    return importlib.import_module(f"{NAME}.{module}")


try:
    _app_manager = _load("base.app_manager")  # first: Ryu's modules import each other in a circle
except ModuleNotFoundError as error:
    raise UserError(f"{NAME} is not installed (docs/ryu.md): {error}") from None
_handler = _load("controller.handler")
ofp_event = _load("controller.ofp_event")
ofproto = _load("ofproto.ofproto_v1_3")
_parser = _load("ofproto.ofproto_v1_3_parser")
hub = _load("lib.hub")

if hub.HUB_TYPE != "eventlet":
    raise UserError("ChamaleoNet needs the eventlet hub: set OSKEN_HUB_TYPE=eventlet")

App: Any = getattr(_app_manager, "RyuApp" if NAME == "ryu" else "OSKenApp")
AppManager = _app_manager.AppManager
MAIN_DISPATCHER = _handler.MAIN_DISPATCHER
DEAD_DISPATCHER = _handler.DEAD_DISPATCHER


Handler = TypeVar("Handler", bound=Callable[..., None])


def on(event: Any, *states: str) -> Callable[[Handler], Handler]:
    """Register a method of an app as handler of an event in these states of a connection."""
    register: Callable[[Handler], Handler] = _handler.set_ev_cls(event, list(states))
    return register


class PacketIn(NamedTuple):
    """What we read of an OFPT_PACKET_IN.

    Attributes:
        total_length: bytes that the packet had in the switch.
        data: the bytes of it that were sent.
    """

    total_length: int
    data: memoryview


class FlowRemoved(NamedTuple):
    """What we read of an OFPT_FLOW_REMOVED."""

    cookie: int
    reason: int


# OpenFlow 1.3.5, sections 7.4.1 and 7.4.2.
_PACKET_IN = struct.Struct("!8xIHBBQHH")
_PACKET_IN_MATCH = 24
_FLOW_REMOVED = struct.Struct("!8xQHB")

Receive = Callable[[Any, Any], None]


def receive_own(is_own: Callable[[int], bool], packet_in: Receive, flow_removed: Receive) -> None:
    """Take the packet-ins and flow removals of our own rules off the framework's hands.

    The framework's parser turns every match field of a packet-in into objects, and then queues an
    event for each app. What bears a cookie of ours is of interest to us alone, and all that we
    want of it are its bytes. Messages of other apps' rules go the usual way.

    Args:
        is_own: tells whether a cookie is ours.
        packet_in: called with (datapath, PacketIn); must not block.
        flow_removed: called with (datapath, FlowRemoved); must not block.
    """
    parsers = _parser._MSG_PARSERS  # noqa: SLF001  (there is no other way to them)
    parse_packet_in = parsers[ofproto.OFPT_PACKET_IN]
    parse_flow_removed = parsers[ofproto.OFPT_FLOW_REMOVED]

    def on_packet_in(
        datapath: Any, version: int, msg_type: int, msg_len: int, xid: int, buf: Any
    ) -> Any:
        if msg_len >= _PACKET_IN.size:
            _, total, _, _, cookie, _, match_length = _PACKET_IN.unpack_from(buf)
            if is_own(cookie):
                start = _PACKET_IN_MATCH + (match_length + 7 & ~7) + 2
                packet_in(datapath, PacketIn(total, memoryview(buf)[start:msg_len]))
                return None
        return parse_packet_in(datapath, version, msg_type, msg_len, xid, buf)

    def on_flow_removed(
        datapath: Any, version: int, msg_type: int, msg_len: int, xid: int, buf: Any
    ) -> Any:
        if msg_len >= _FLOW_REMOVED.size:
            cookie, _, reason = _FLOW_REMOVED.unpack_from(buf)
            if is_own(cookie):
                flow_removed(datapath, FlowRemoved(cookie, reason))
                return None
        return parse_flow_removed(datapath, version, msg_type, msg_len, xid, buf)

    parsers[ofproto.OFPT_PACKET_IN] = on_packet_in
    parsers[ofproto.OFPT_FLOW_REMOVED] = on_flow_removed


def next_xid(datapath: Any) -> int:
    """Return a transaction id that no other app uses on this connection."""
    datapath.xid = datapath.xid + 1 & ofproto.MAX_XID
    return int(datapath.xid)


def configure(host: str, port: int) -> None:
    """Tell the framework where to await switches."""
    conf = _load("cfg").CONF
    conf(args=[f"--ofp-listen-host={host}", f"--ofp-tcp-listen-port={port}"], project=NAME)


def end_process(status: int) -> None:
    """End the process in order: its main greenlet, wherever it waits, gets a SystemExit."""
    main = greenlet.getcurrent()
    while main.parent is not None:
        main = main.parent
    eventlet.hubs.get_hub().schedule_call_global(0, main.throw, SystemExit(status))
