import base64
from pathlib import Path

import jsonschema
import pytest

from chamaleonet.log.stream import messages
from chamaleonet.log.stream.messages import (
    FROM_CONSUMER,
    FROM_CONTROLLER,
    MessageError,
    VersionError,
    ack,
    check_message,
    consumer_hello,
    controller_hello,
    json_schema,
)
from chamaleonet.log.stream.packing import pack_flow, pack_packet
from chamaleonet.log.stream.position import Position
from tests.log.build import captured, flow

HERE = Position(2**64 - 1, 7)
_OWNER = flow("tcp", "10.0.0.1", "9.9.9.9", 4000, 80, vlan=12)
_FLOW = pack_flow(_OWNER[0])
_PACKET = pack_packet(captured(_OWNER)[0][0], captured(_OWNER)[1])
HELLO = controller_hello("tests", 5)
GREETING = consumer_hello("tests", acknowledges=True, position=HERE)
SAID = [
    (FROM_CONTROLLER, HELLO),
    (FROM_CONTROLLER, {"kind": "active", "flow": _FLOW}),
    (FROM_CONTROLLER, {"kind": "current"}),
    (FROM_CONTROLLER, {"kind": "flow", "run": 1, "seq": 2, "flow": _FLOW}),
    (FROM_CONTROLLER, {"kind": "verdict", "run": 1, "seq": 2, "flow": _FLOW, "packets": [_PACKET]}),
    (FROM_CONSUMER, GREETING),
    (FROM_CONSUMER, consumer_hello("tests", acknowledges=False, position=None)),
    (FROM_CONSUMER, ack(HERE)),
]


@pytest.mark.parametrize(("known", "message"), SAID)
def test_what_is_said_is_known(known, message):
    assert check_message(message, known) is message


@pytest.mark.parametrize(("known", "message"), SAID)
def test_every_field_is_needed(known, message):
    for name in message:
        with pytest.raises(MessageError, match=f"^{name} is missing$"):
            check_message({key: value for key, value in message.items() if key != name}, known)


@pytest.mark.parametrize(("known", "message"), SAID)
def test_one_end_does_not_say_what_the_other_does(known, message):
    other = FROM_CONSUMER if known is FROM_CONTROLLER else FROM_CONTROLLER
    with pytest.raises(MessageError):
        check_message(message, other)


@pytest.mark.parametrize("message", [None, [], "flow", {}, {"kind": 5}, {"kind": "rumour"}])
def test_what_is_no_message_is_refused(message):
    with pytest.raises(MessageError):
        check_message(message, FROM_CONTROLLER)


@pytest.mark.parametrize(
    "fault",
    [
        {"position": {"run": 1}},
        {"position": {"run": 1, "seq": -1}},
        {"position": {"run": 2**64, "seq": 1}},
        {"position": [1, 2]},
        {"acknowledges": 1},
        {"name": b"tests"},
    ],
)
def test_a_bad_greeting_is_refused(fault):
    with pytest.raises(MessageError):
        check_message({**GREETING, **fault}, FROM_CONSUMER)


@pytest.mark.parametrize("greeting", [{"version": 1}, {"version": 3}, {"protocol": "http"}])
def test_another_version_is_told_whatever_its_fields(greeting):
    for hello, known in ((HELLO, FROM_CONTROLLER), (GREETING, FROM_CONSUMER)):
        short = {key: hello[key] for key in ("kind", "protocol", "version", "name")}
        with pytest.raises(VersionError):
            check_message({**short, **greeting}, known)


def _as_json(value):
    if isinstance(value, dict):
        return {key: _as_json(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_as_json(inner) for inner in value]
    return base64.b64encode(value).decode() if isinstance(value, bytes) else value


@pytest.mark.parametrize(("known", "message"), SAID)
def test_the_schema_tells_what_is_said(known, message):
    schema = jsonschema.Draft202012Validator(json_schema())
    schema.check_schema(json_schema())
    said = _as_json(message)
    schema.validate(said)
    for name in said:
        assert not schema.is_valid({key: value for key, value in said.items() if key != name})
        if name not in ("name", "position"):
            assert not schema.is_valid({**said, name: None})


@pytest.mark.parametrize(
    "fault",
    [
        {"client": "AAAA"},
        {"client": 1},
        {"verdict": "none"},
        {"vlan": 4096},
        {"first": -1},
        {"client_bytes": 2**64},
        {"icmp_sender": ""},
    ],
)
def test_the_schema_tells_what_cannot_be_said(fault):
    said = _as_json({"kind": "active", "flow": {**_FLOW, **fault}})
    assert not jsonschema.Draft202012Validator(json_schema()).is_valid(said)


def test_the_documentation_shows_these_tables():
    page = Path(__file__).parents[3] / "docs" / "verdict-stream.md"
    assert messages.markdown().strip() in page.read_text()
