"""OpenFlow over TLS: who is let in, at the real process."""

import contextlib
import os
import socket
import ssl
import subprocess
import warnings
from pathlib import Path

import pytest

from chamaleonet.tls import client_context
from tests.certificates import make_authority, make_certificate, needs_openssl
from tests.fake_switch import BARRIER_REQUEST, ECHO_REPLY, ECHO_REQUEST, HELLO, FakeSwitch, message
from tests.test_controller import Process

pytestmark = needs_openssl


class Lab:
    """A controller that knows two switches by their certificates, and a third one by none."""

    def __init__(self, directory):
        self.directory = directory
        self.ca, self.other_ca = (make_authority(directory, name) for name in ("ca", "other"))
        self.own = make_certificate(directory, "controller", self.ca)
        tls = f"certificate: {self.own.certificate}, key: {self.own.key}, ca: {self.own.ca}"
        switches = "switches:\n" + "".join(
            f"  - {{name: {name}, dp_id: {dp_id}, {more}pipeline: reactive, logger_port: 4}}\n"
            for name, dp_id, more in (
                ("one", "a1", "certificate: one, "),
                ("two", "b2", "certificate: two.example.net, "),
                ("any", "c3", ""),
            )
        )
        self.controller = Process(
            directory, switches, openflow=f", handshake_timeout: 2s, tls: {{{tls}}}"
        )

    def context(self, name, authority=None, **options):
        """Return what a switch with a certificate of this name encrypts with."""
        files = make_certificate(self.directory, name, authority or self.ca, **options)
        files.ca = self.ca[0]
        context = client_context(files)
        context.check_hostname = False  # as Open vSwitch does
        return context

    def connect(self, dp_id, context):
        return FakeSwitch(self.controller.address, dp_id, context=context)

    def open(self):
        return socket.create_connection(self.controller.address, timeout=60)

    def expect(self, cause, count):
        self.controller.eventually(f'openflow_errors_total{{cause="{cause}"}}', count)


@pytest.fixture(scope="module")
def started(tmp_path_factory):
    lab = Lab(tmp_path_factory.mktemp("tls"))
    with lab.controller:
        lab.connect(0xC3, lab.context("first")).close()  # it is up
        yield lab


@pytest.fixture
def lab(started):
    yield started
    assert started.controller.process.poll() is None
    assert "Traceback" not in started.controller.errors.read_text()


def served(switch):
    try:
        switch.receive_until(BARRIER_REQUEST, 2)
    except (OSError, ssl.SSLError):
        return False
    finally:
        switch.close()
    return True


def test_switches_are_served_under_the_names_in_their_certificates(lab):
    assert served(lab.connect(0xA1, lab.context("one")))
    assert served(lab.connect(0xB2, lab.context("2", dns="two.example.net")))
    assert served(lab.connect(0xC3, lab.context("whoever")))


def test_one_switch_cannot_pose_as_another(lab):
    assert not served(lab.connect(0xB2, lab.context("one")))
    lab.expect("certificate", 1)
    assert "its certificate bears one, not two.example.net" in (lab.controller.errors.read_text())


def refused(connect):
    """In TLS 1.3 a client hears of it after its part of the handshake."""
    with contextlib.suppress(OSError), connect() as connection:
        connection.settimeout(60)
        while connection.recv(100):
            pass


def test_without_a_good_certificate_nobody_is_let_in(lab):
    before = 0
    nobody = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    nobody.check_hostname = False
    nobody.load_verify_locations(lab.ca[0])
    stranger = lab.context("one", lab.other_ca)
    for number, context in enumerate((nobody, stranger), 1):
        refused(lambda context=context: context.wrap_socket(lab.open()))
        lab.expect("tls", before + number)


def test_without_tls_nobody_is_let_in(lab):
    before = lab.controller.value('openflow_errors_total{cause="tls"}')
    with lab.open() as plain:
        plain.sendall(message(HELLO))
        with contextlib.suppress(ConnectionResetError):
            assert message(HELLO) not in plain.recv(100)
    lab.expect("tls", before + 1)


def test_old_versions_are_not_spoken(lab):
    before = lab.controller.value('openflow_errors_total{cause="tls"}')
    context = lab.context("old")
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
        context.set_ciphers("DEFAULT@SECLEVEL=0")
    refused(lambda: context.wrap_socket(lab.open()))
    lab.expect("tls", before + 1)


def test_a_tls_handshake_that_does_not_end_is_ended(lab):
    with lab.open() as idle:
        assert idle.recv(100) == b""
    lab.expect("handshake_timeout", 1)


def test_garbage_within_tls_closes_its_connection_alone(lab):
    before = lab.controller.value('openflow_errors_total{cause="tls"}')
    honest = lab.connect(0xC3, lab.context("honest"))
    honest.receive_until(BARRIER_REQUEST, 2)
    switch = lab.connect(0xA1, lab.context("one"))
    switch.receive_until(BARRIER_REQUEST, 2)
    with socket.socket(fileno=os.dup(switch.socket.fileno())) as raw:
        raw.sendall(b"\x17\x03\x03\0\x20" + bytes(32))  # a record that nobody encrypted
    switch.close()
    lab.expect("tls", before + 1)
    honest.send(message(ECHO_REQUEST))
    honest.receive_until(ECHO_REPLY)
    honest.close()


def test_a_key_that_others_may_read_is_the_users_error(lab, tmp_path):
    controller = lab.controller
    key = tmp_path / "open.key"
    key.write_bytes(lab.own.key.read_bytes())
    key.chmod(0o644)
    path = tmp_path / "probe.yaml"
    text = controller.path.read_text().replace(str(lab.own.key), str(key))
    path.write_text(text.replace(str(controller.openflow), "1"))  # it does not come to listening
    done = subprocess.run(
        [controller.process.args[0], "-m", "chamaleonet", "run", "--config", path],
        capture_output=True, text=True, cwd=Path(__file__).parents[1], timeout=60,
    )  # fmt: skip
    said = f"chamaleonet: {key}: has mode 0644, not 0600 (chmod 0600 {key})\n"
    assert (done.returncode, done.stderr) == (2, said)
