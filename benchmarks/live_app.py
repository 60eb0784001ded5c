"""Runs one of benchmarks.apps until it is killed: ``python -m benchmarks.live_app APP PORT``."""

from __future__ import annotations

import socket
import sys

import eventlet

eventlet.monkey_patch()

from chamaleonet.switch import framework  # noqa: E402
from chamaleonet.switch.launcher import spare_the_collector  # noqa: E402


def main(app: str, port: str) -> None:
    listener = socket.create_server(("127.0.0.1", int(port)))
    framework.listen(listener)
    framework.connect_by(framework.converse, lambda: None)
    manager = framework.AppManager.get_instance()
    manager.load_apps([f"benchmarks.apps.{app}"])
    services = manager.instantiate_apps(**manager.create_contexts())
    spare_the_collector()  # on equal terms
    framework.hub.joinall(services)


if __name__ == "__main__":
    main(*sys.argv[1:])
