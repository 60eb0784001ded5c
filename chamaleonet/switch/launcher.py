"""Starts the controller app in a manager of our own: ``chamaleonet run``."""

from __future__ import annotations

import gc
import logging
import os
import signal
import socket
import warnings
from ipaddress import ip_address
from typing import TYPE_CHECKING

from chamaleonet.errors import UserError

if TYPE_CHECKING:
    from pathlib import Path

    from chamaleonet.config import Endpoint, OpenFlow

log = logging.getLogger(__name__)

CONFIG_VARIABLE = "CHAMALEONET_CONFIG"
_APP = "chamaleonet.controller"


def run(path: Path) -> int:
    """Run the controller until a signal or a failure ends it; return the exit status.

    Args:
        path: the configuration file.

    Raises:
        UserError: what the user can mend: the configuration is wrong, an address is in use, the
            framework is missing.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"\s*Eventlet is deprecated")  # os-ken needs it
        import eventlet
    eventlet.monkey_patch()  # before anything that waits is imported
    from chamaleonet import config
    from chamaleonet.switch import framework

    openflow = config.load(path).openflow
    listener = _bind(openflow.listen)
    os.environ[CONFIG_VARIABLE] = str(path)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    logging.getLogger(framework.NAME).setLevel(logging.WARNING)
    if is_open(openflow):
        log.warning(
            "openflow: without tls, whoever reaches %s can speak as a switch", openflow.listen
        )
    framework.listen(listener)
    manager = framework.AppManager.get_instance()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: framework.end_process(0))
    try:
        manager.load_apps([_APP])
        services = manager.instantiate_apps(**manager.create_contexts())
        spare_the_collector()
        framework.hub.joinall(services)
    except SystemExit as end:
        return int(end.code or 0)
    finally:
        manager.close()
    return 1  # the OpenFlow service ended by itself


def spare_the_collector() -> None:
    """Have garbage collected less often: rules by the thousand are no garbage, nor are cycles.

    Collections took half of the time in which flows are judged and bypassed.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


def is_open(openflow: OpenFlow) -> bool:
    """Tell whether others than this machine's processes can speak as a switch."""
    return openflow.tls is None and not ip_address(openflow.listen.host).is_loopback


def _bind(at: Endpoint) -> socket.socket:
    """Take the address; whoever connects is refused until it is listened on."""
    listener = socket.socket(socket.AF_INET6 if ":" in at.host else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(tuple(at))
    except OSError as error:
        raise UserError(f"openflow: cannot listen on {at}: {error.strerror}") from None
    return listener
