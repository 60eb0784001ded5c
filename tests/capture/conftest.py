"""A cable in a network namespace, and what sends frames into its far end."""

import socket

import pytest

from tests.namespace import Namespace


@pytest.fixture(scope="module")
def namespace():
    with Namespace() as fresh:
        fresh.veth("near", "far")
        yield fresh


@pytest.fixture
def send(namespace):
    sender = namespace.call(socket.socket, socket.AF_PACKET, socket.SOCK_RAW, 0)
    sender.bind(("far", 0))
    yield sender.send
    sender.close()
