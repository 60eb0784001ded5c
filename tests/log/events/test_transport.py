import socket

import pytest

from chamaleonet.errors import UserError
from chamaleonet.log.events.transport import Address, RefusedError


def never():
    return False


@pytest.mark.parametrize(
    "text",
    [
        "", "unix:", "/dev/log", "tls:host:514", "udp:514", "udp:host", "udp::514", "udp:[]:514",
        "tcp:host:0", "tcp:host:65536", "tcp:host:x", "tcp:host:٣",
    ],
)  # fmt: skip
def test_what_is_no_address_is_named(text):
    with pytest.raises(UserError) as caught:
        Address(text)
    assert str(caught.value).startswith(f"{text}: not ")


def test_an_address_is_not_looked_up_before_it_is_needed():
    address = Address("udp:no-such-host.invalid:514")
    with pytest.raises(OSError, match=r"\w"):
        address.connect()


def test_datagrams_to_an_ipv6_address():
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as daemon:
        daemon.bind(("::1", 0))
        connection = Address(f"udp:[::1]:{daemon.getsockname()[1]}").connect()
        connection.send(b"message", never)
        assert daemon.recv(100) == b"message"
        connection.close()


def test_of_a_hosts_addresses_the_next_is_tried_each_time(monkeypatch):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as daemon:
        daemon.bind(("127.0.0.2", 0))
        port = daemon.getsockname()[1]
        found = [
            (socket.AF_INET, socket.SOCK_DGRAM, 17, "", (host, port))
            for host in ("127.0.0.1", "127.0.0.2")
        ]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
        address = Address(f"udp:two.example:{port}")
        first = address.connect()
        first.send(b"lost", never)
        with pytest.raises(RefusedError):
            first.send(b"not sent", never)
        second = address.connect()
        second.send(b"message", never)
        assert daemon.recv(100) == b"message"
        first.close()
        second.close()


def test_a_stream_that_ended_takes_no_message():
    with socket.create_server(("127.0.0.1", 0)) as server:
        connection = Address(f"tcp:127.0.0.1:{server.getsockname()[1]}").connect()
        daemon, _ = server.accept()
        connection.send(b"one", never)
        assert daemon.recv(100) == b"3 one"
        daemon.close()
        assert connection._input.poll(10_000)  # the end of the stream has arrived
        with pytest.raises(ConnectionResetError):
            connection.send(b"two", never)
        connection.close()


def test_a_sender_gives_up_when_it_is_late(tmp_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server:
        server.bind(f"{tmp_path}/log")
        server.listen()
        connection = Address(f"unix:{tmp_path}/log").connect()
        daemon, _ = server.accept()
        with daemon, pytest.raises(TimeoutError):
            connection.send(b"x" * 10_000_000, lambda: True)  # more than the system buffers
        connection.close()
