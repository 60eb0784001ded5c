import grp
import os
import socket
import stat

import pytest

from chamaleonet.errors import UserError
from chamaleonet.log.stream.endpoint import Endpoint
from tests.certificates import Files, make_authority, make_certificate, needs_openssl


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("", "not unix:PATH or tcp:ADDRESS:PORT"),
        ("unix:", "not unix:PATH or tcp:ADDRESS:PORT"),
        ("udp:127.0.0.1:1", "not unix:PATH or tcp:ADDRESS:PORT"),
        ("tcp:127.0.0.1:1", "a stream over TCP needs TLS"),
    ],
)
def test_a_bad_address_is_named(address, said):
    with pytest.raises(UserError) as caught:
        Endpoint(address)
    assert str(caught.value) == f"{address}: {said}"


@pytest.mark.parametrize("address", ["tcp:127.0.0.1", "tcp:127.0.0.1:http", "tcp::1:70000"])
def test_a_bad_tcp_address_is_named(address, tmp_path):
    files = Files(tmp_path, tmp_path, tmp_path)
    with pytest.raises(UserError, match=f"^{address}: not tcp:ADDRESS:PORT$"):
        Endpoint(address, files)


def test_a_unix_socket_is_its_owners_alone(tmp_path):
    endpoint = Endpoint(f"unix:{tmp_path}/socket")
    with endpoint.listen():
        assert stat.S_IMODE((tmp_path / "socket").stat().st_mode) == 0o600
        with endpoint.connect(5):
            pass
    endpoint.unlink()
    assert list(tmp_path.iterdir()) == []


def test_a_group_may_connect_as_well(tmp_path):
    group = grp.getgrgid(os.getgid()).gr_name
    endpoint = Endpoint(f"unix:{tmp_path}/socket", group=group)
    with endpoint.listen():
        status = (tmp_path / "socket").stat()
        assert (stat.S_IMODE(status.st_mode), status.st_gid) == (0o660, os.getgid())
    nobodys = Endpoint(f"unix:{tmp_path}/other", group="no-such-group")
    with pytest.raises(UserError, match="/other: there is no group no-such-group"):
        nobodys.listen()


def test_a_stale_socket_is_replaced_and_a_live_one_is_not(tmp_path):
    endpoint = Endpoint(f"unix:{tmp_path}/socket")
    endpoint.listen().close()  # as a killed process leaves it
    with endpoint.listen():
        with pytest.raises(UserError, match="another process does already"):
            endpoint.listen()
        with endpoint.connect(5):
            pass


def test_what_is_no_socket_stays(tmp_path):
    path = tmp_path / "file"
    path.write_text("precious")
    with pytest.raises(UserError, match="the file exists and is no socket"):
        Endpoint(f"unix:{path}").listen()
    assert path.read_text() == "precious"


def test_where_one_cannot_listen_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError) as caught:
        Endpoint(f"unix:{tmp_path}/file/socket").listen()
    assert str(caught.value).endswith("/file/socket: cannot listen: File exists")


@needs_openssl
def test_a_certificate_that_cannot_be_used_is_named(tmp_path):
    authority = make_authority(tmp_path, "ca")
    good = make_certificate(tmp_path, "one", authority)
    other = make_certificate(tmp_path, "two", authority)
    missing = Files(good.certificate, tmp_path / "gone.key", good.ca)
    with pytest.raises(UserError, match=r"gone\.key: No such file or directory"):
        Endpoint("tcp:127.0.0.1:1", missing).server_context()
    mixed = Files(good.certificate, other.key, good.ca)
    with pytest.raises(UserError, match=r"one\.pem: cannot be used with .*two\.key"):
        Endpoint("tcp:127.0.0.1:1", mixed).client_context()


@needs_openssl
def test_a_port_in_use_is_named(tmp_path):
    files = make_certificate(tmp_path, "one", make_authority(tmp_path, "ca"))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"tcp:127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(UserError, match=f"^{address}: cannot listen: Address already in use"):
            Endpoint(address, files).listen()


def test_the_folder_of_a_socket_is_made(tmp_path):
    path = tmp_path / "run" / "chamaleonet" / "verdicts.sock"
    endpoint = Endpoint(f"unix:{path}")
    endpoint.listen().close()
    assert stat.S_IMODE(path.parent.stat().st_mode) & 0o007 == 0
    endpoint.unlink()
