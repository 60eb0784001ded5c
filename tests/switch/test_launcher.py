import pytest

from chamaleonet.config import OpenFlow
from chamaleonet.switch.launcher import is_open

TLS = {"certificate": "c.pem", "key": "k.pem", "ca": "ca.pem"}


@pytest.mark.parametrize(
    ("listen", "tls", "expected"),
    [
        ("127.0.0.1:6653", None, False),
        ("[::1]:6653", None, False),
        ("0.0.0.0:6653", None, True),
        ("[::]:6653", None, True),
        ("192.0.2.1:6653", None, True),
        ("192.0.2.1:6653", TLS, False),
    ],
)
def test_who_could_speak_as_a_switch(listen, tls, expected):
    assert is_open(OpenFlow(listen=listen, tls=tls)) is expected
