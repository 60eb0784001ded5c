"""The one door to the OpenFlow framework: os-ken, or Ryu where a Ryu manager runs us.

Both have the same API; everything else in the package takes its names from here.
"""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
import signal
import struct
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import eventlet
import eventlet.hubs
import eventlet.wsgi
import greenlet

from chamaleonet.errors import UserError

if TYPE_CHECKING:
    from types import FrameType

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
_controller = _load("controller.controller")
hub = _load("lib.hub")

if hub.HUB_TYPE != "eventlet":
    raise UserError("ChamaleoNet needs the eventlet hub: set OSKEN_HUB_TYPE=eventlet")

App: Any = getattr(_app_manager, "RyuApp" if NAME == "ryu" else "OSKenApp")
AppManager = _app_manager.AppManager
MAIN_DISPATCHER = _handler.MAIN_DISPATCHER
DEAD_DISPATCHER = _handler.DEAD_DISPATCHER
TABLE_FULL = ofproto.OFPET_FLOW_MOD_FAILED, ofproto.OFPFMFC_TABLE_FULL


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
_MULTIPART_HEADER = 16  # section 7.3.5

Receive = Callable[[Any, Any], None]


class Answer(NamedTuple):
    """A part of the answer to a multipart question: the whole message."""

    xid: int
    message: bytes


def receive_own(
    is_own: Callable[[int], bool],
    packet_in: Receive,
    flow_removed: Receive,
    asked: Callable[[Any, int], bool],
    answer: Receive,
) -> None:
    """Take packet-ins and flow removals of our own rules, and answers to us, from the framework.

    The framework's parser turns every match field of a packet-in into objects, and then queues an
    event for each app. What bears a cookie of ours is of interest to us alone, and all that we
    want of it are its bytes. Messages of other apps' rules go the usual way.

    Args:
        is_own: tells whether a cookie is ours.
        packet_in: called with (datapath, PacketIn); must not block.
        flow_removed: called with (datapath, FlowRemoved); must not block.
        asked: tells of (datapath, transaction id) whether a multipart question was ours.
        answer: called with (datapath, Answer) then; must not block.
    """
    parsers = _parser._MSG_PARSERS  # noqa: SLF001  (there is no other way to them)
    parse_packet_in = parsers[ofproto.OFPT_PACKET_IN]
    parse_flow_removed = parsers[ofproto.OFPT_FLOW_REMOVED]
    parse_multipart = parsers[ofproto.OFPT_MULTIPART_REPLY]

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

    def on_multipart(
        datapath: Any, version: int, msg_type: int, msg_len: int, xid: int, buf: Any
    ) -> Any:
        if msg_len >= _MULTIPART_HEADER and asked(datapath, xid):
            answer(datapath, Answer(xid, bytes(buf[:msg_len])))
            return None
        return parse_multipart(datapath, version, msg_type, msg_len, xid, buf)

    parsers[ofproto.OFPT_MULTIPART_REPLY] = on_multipart
    parsers[ofproto.OFPT_PACKET_IN] = on_packet_in
    parsers[ofproto.OFPT_FLOW_REMOVED] = on_flow_removed


def next_xid(datapath: Any) -> int:
    """Return a transaction id that no other app uses on this connection."""
    datapath.xid = datapath.xid + 1 & ofproto.MAX_XID
    return int(datapath.xid)


def has_room(datapath: Any) -> bool:
    """Tell whether a message can be queued for a switch at once, without waiting for it."""
    return datapath.send_q is not None and not datapath.send_q.full()


def send(datapath: Any, message: bytes) -> bool:
    """Queue a message for a switch; return False where nothing can be queued at once."""
    return has_room(datapath) and bool(datapath.send(message))


def error_text(message: Any) -> str:
    """Return an error message's type and code by their names."""
    kind = ofproto.ofp_error_type_to_str(message.type)
    if message.type == ofproto.OFPET_EXPERIMENTER:
        return f"{kind} {message.experimenter:#x}, {message.exp_type}"
    return f"{kind}, {ofproto.ofp_error_code_to_str(message.type, message.code)}"


def is_slave_error(message: Any) -> bool:
    """Tell whether an error message says that we are a SLAVE and may not do that."""
    slave = ofproto.OFPET_BAD_REQUEST, ofproto.OFPBRC_IS_SLAVE
    return (message.type, message.code) == slave


# Connections.

# Of the processor's time, ten times what an honest message takes.
_PARSE_SECONDS = 0.02
_PARSE_SECONDS_PER_BYTE = 4e-6
_PARSE_TURNS = 3  # one may be the garbage collector's
# A connection is dead when a switch leaves so many echo requests unanswered: some 8 s after a cut.
_ECHO_SECONDS, _MOST_UNANSWERED = 2.0, 3
_BACKLOG = 128  # connections that wait to be accepted
_TELL_SECONDS = 10.0  # from one line about that to the next
_listener: Any = None


class _EndlessError(Exception):
    """A message's parser does not come to an end."""


def parse_safely(malformed: Callable[[Any, Exception], None]) -> None:
    """Have messages that cannot be parsed told, where the framework would log them and go on.

    Its parsers also trust the lengths inside of a message: an entry of no length is parsed for
    ever. So a timer of the process's own time interrupts them.

    Args:
        malformed: called with (datapath, what was raised); must not block.
    """
    turns = 0

    def interrupt(_: int, frame: FrameType | None) -> None:
        nonlocal turns
        turns += 1
        # Not in a destructor that just runs, where it would come to nothing.
        within = frame is not None and frame.f_globals.get("__name__", "").startswith(f"{NAME}.")
        if within and turns >= _PARSE_TURNS:
            raise _EndlessError("parsing does not come to an end")

    def bounded(parse: Callable[..., Any]) -> Callable[..., Any]:
        def parsed(
            datapath: Any, version: int, msg_type: int, msg_len: int, xid: int, buf: Any
        ) -> Any:
            nonlocal turns
            turns = 0
            turn = _PARSE_SECONDS + _PARSE_SECONDS_PER_BYTE * msg_len
            signal.setitimer(signal.ITIMER_VIRTUAL, turn, turn)
            try:
                return parse(datapath, version, msg_type, msg_len, xid, buf)
            except Exception as error:  # noqa: BLE001  (whatever it is, the message is to blame)
                malformed(datapath, error)
                return None
            finally:
                signal.setitimer(signal.ITIMER_VIRTUAL, 0)

        return parsed

    signal.signal(signal.SIGVTALRM, interrupt)
    parsers = _parser._MSG_PARSERS  # noqa: SLF001
    parsers.update({kind: bounded(parse) for kind, parse in parsers.items()})


def listen(listener: Any) -> None:
    """Await switches on a bound socket of our own; to be called before the apps are loaded.

    The framework's own loop ends with the first accept that fails, and with it the process.
    """
    global _listener  # noqa: PLW0603
    _listener = listener
    conf = _load("cfg").CONF
    conf(args=[], project=NAME)
    # Off by default: a connection that is cut without a word would live until TCP gives up.
    conf.set_override("echo_request_interval", _ECHO_SECONDS)
    conf.set_override("maximum_unreplied_echo_requests", _MOST_UNANSWERED)


def is_exclusive() -> bool:
    """Tell whether we await the switches ourselves, so that all of them are to be ours."""
    return _listener is not None


def connect_by(enter: Callable[[Any, Any], None], listening: Callable[[], None]) -> None:
    """Have every connection handed over; to be called before the framework listens.

    Args:
        enter: called with (socket, address) in a greenlet of its own.
        listening: called when our own socket is listened on, if that is awaited.
    """
    _controller.datapath_connection_factory = enter
    if _listener is not None:
        _controller.OpenFlowController.__call__ = lambda _: _accept(enter, listening)


def _accept(enter: Callable[[Any, Any], None], listening: Callable[[], None]) -> None:
    _listener.listen(_BACKLOG)
    listening()
    told = -_TELL_SECONDS
    while True:
        try:
            connection, address = _listener.accept()
        except OSError as error:  # it is gone again, or there are too many open files
            if time.monotonic() - told >= _TELL_SECONDS:
                told = time.monotonic()
                logging.getLogger(__name__).error("openflow: cannot accept: %s", error)
            hub.sleep(0.1)
            continue
        hub.spawn(enter, connection, address)
        hub.sleep(0)  # accept does not wait as long as there are more


def converse(connection: Any, address: Any) -> None:
    """Have the framework speak with a switch until the connection ends.

    Args:
        connection: what it is to take for its socket; ``connection.datapath`` is set.
        address: the switch's.
    """
    with contextlib.closing(_controller.Datapath(connection, address)) as datapath:
        connection.datapath = datapath
        datapath.serve()


def on_hangup(function: Callable[[], None]) -> None:
    """Call a function, in a greenlet of its own, whenever SIGHUP comes."""
    hub_of_eventlet = eventlet.hubs.get_hub()
    signal.signal(
        signal.SIGHUP, lambda *_: hub_of_eventlet.schedule_call_global(0, hub.spawn, function)
    )


def call_later(seconds: float, function: Callable[[], None]) -> Callable[[], None]:
    """Call a function after so many seconds; return what prevents it."""
    cancel: Callable[[], None] = eventlet.spawn_after(seconds, function).cancel
    return cancel


def end_process(status: int) -> None:
    """End the process in order: its main greenlet, wherever it waits, gets a SystemExit."""
    main = greenlet.getcurrent()
    while main.parent is not None:
        main = main.parent
    eventlet.hubs.get_hub().schedule_call_global(0, main.throw, SystemExit(status))
