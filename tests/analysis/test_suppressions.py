"""Files of suppressions."""

from __future__ import annotations

from datetime import date
from typing import get_args

import pytest

from chamaleonet.analysis.findings import RULES
from chamaleonet.analysis.findings.finding import Evidence
from chamaleonet.analysis.suppressions import FindingKind, Suppression, load
from chamaleonet.errors import UserError

ROW = Evidence(
    host="10.1.0.3", client="10.1.0.3", server="192.0.2.7", service="tcp/8080",
    flows=1, erroneous=1, requests=1, first=0, last=0,
)  # fmt: skip


@pytest.fixture
def read(tmp_path):
    """Return a function that writes a file and reads it as suppressions."""

    def write_and_read(text):
        path = tmp_path / "known.yaml"
        path.write_text(text)
        return load(path)

    return write_and_read


def test_a_file(read):
    (found,) = read("""
suppressions:
  - kind: stale_server
    server: 192.0.2.7
    port: 8080
    until: 2027-01-31
    reason: the mirror moves
""")
    assert found.covers("stale_server", ROW)
    assert not found.covers("outage", ROW)
    assert found.reason == "the mirror moves"
    assert not found.expired(date(2027, 1, 31))
    assert found.expired(date(2027, 2, 1))


def test_an_empty_file(read):
    assert read("# nothing yet\n") == ()


@pytest.mark.parametrize(
    ("given", "covered"),
    [
        ({"host": "10.1.0.0/24"}, True),
        ({"host": "10.1.1.0/24"}, False),
        ({"client": "10.1.0.3", "port": 8080}, True),
        ({"client": "10.1.0.3", "port": 80}, False),
        ({"server": "2001:db8::/32"}, False),
        ({"kind": "stale_server"}, True),
    ],
)
def test_all_that_is_said_must_apply(given, covered):
    suppression = Suppression(**given, until=date(2027, 1, 1), reason="so")
    assert suppression.covers("stale_server", ROW) == covered


def test_all_kinds_can_be_suppressed():
    assert set(get_args(FindingKind)) == {rule.kind for rule in RULES}


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("suppressions:\n  - kind: stale\n", "known.yaml:2: suppressions.0.kind: "),
        (
            "suppressions:\n  - port: 80\n    until: 2027-01-01\n    reason: x\n    hosts: y\n",
            "known.yaml:5: suppressions.0.hosts: unknown key",
        ),
        (
            "suppressions:\n  - until: 2027-01-01\n    reason: x\n",
            "known.yaml:2: suppressions.0: say what is suppressed",
        ),
        (
            "suppressions:\n  - port: 80\n    until: soon\n    reason: x\n",
            "known.yaml:3: suppressions.0.until: ",
        ),
        ("suppressions:\n  - port: 80\n    reason: x\n", "known.yaml:2: suppressions.0.until: "),
        (
            "suppressions:\n  - host: 10.0.0.1/8\n    until: 2027-01-01\n    reason: x\n",
            "known.yaml:2: suppressions.0.host: '10.0.0.1/8' is not a network",
        ),
        ("suppressions: [\n", "known.yaml:2: "),
        ("- kind: outage\n", "known.yaml:1: the file must hold"),
        ("ignore: []\n", "known.yaml:1: "),
    ],
)
def test_mistakes_are_located(read, text, complaint):
    with pytest.raises(UserError) as raised:
        read(text)
    assert complaint in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(UserError, match="No such file"):
        load(tmp_path / "missing.yaml")
