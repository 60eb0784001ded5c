import datetime
import os
import re

import pytest
from hypothesis import given

from chamaleonet.errors import UserError
from chamaleonet.flows.records import Quality
from chamaleonet.flows.transitions import State
from chamaleonet.log.events.rfc5424 import PARAMETERS, Messages, escaped
from chamaleonet.log.events.rows import rows
from chamaleonet.units import FACILITIES
from tests.log.build import START, flow, words
from tests.log.test_flowlog import expected, flows

# RFC 5424, section 6, rule by rule.
_PRINT = "[!-~]"
_SD_NAME = r"[!#-<>-\\^-~]{1,32}"
_PARAM = rf'{_SD_NAME}="(?:[^"\\\]]|\\["\\\]])*"'
_ELEMENT = rf"\[{_SD_NAME}(?: {_PARAM})*\]"
_TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,6})?(?:Z|[+-]\d\d:\d\d)"
_MESSAGE = re.compile(
    rf"<(?P<priority>\d{{1,3}})>(?P<version>[1-9]\d{{0,2}}) (?P<time>-|{_TIME})"
    rf" (?P<host>-|{_PRINT}{{1,255}}) (?P<app>-|{_PRINT}{{1,48}}) (?P<process>-|{_PRINT}{{1,128}})"
    rf" (?P<id>-|{_PRINT}{{1,32}}) (?P<data>-|(?:{_ELEMENT})+)(?: (?P<text>.*))?",
    re.DOTALL,
)


def parsed(message):
    """Read a message strictly; the structured data becomes a dictionary of dictionaries."""
    match = _MESSAGE.fullmatch(message.decode())
    assert match, message
    fields = match.groupdict()
    priority = int(fields["priority"])
    assert priority <= 191
    fields["facility"], fields["severity"] = divmod(priority, 8)
    fields["data"] = {
        element[1:-1].split(" ")[0]: {
            name: re.sub(r'\\(["\\\]])', r"\1", value)
            for name, value in re.findall(rf'({_SD_NAME})="((?:[^"\\\]]|\\.)*)"', element)
        }
        for element in re.findall(_ELEMENT, fields["data"])
    }
    return fields


def told(record, **named):
    [row] = rows(record)
    return parsed(Messages("daemon", **named).verdict(row))


def test_a_message_says_who_tells_what():
    record = flow(
        "udp", "10.0.0.1", "192.0.2.9", 4000, 53, state=State.ICMP_ERROR, attempts=2, vlan=7,
        icmp_type=3, icmp_code=3, judged=START + 1_234_567_899, direction=0,
    )  # fmt: skip
    record["sender_hi"], record["sender_lo"] = words("192.0.2.1")
    message = told(record, hostname="probe.example")
    community_id = message["data"]["chamaleonet@32473"].pop("community_id")
    assert re.fullmatch("1:[A-Za-z0-9+/]{27}=", community_id)
    assert message == {
        "priority": "28", "facility": 3, "severity": 4, "version": "1",
        "time": "2026-09-21T14:13:21.234567Z", "host": "probe.example", "app": "chamaleonet",
        "process": str(os.getpid()), "id": "VERDICT",
        "data": {
            "chamaleonet@32473": {
                "verdict": "icmp_error", "direction": "outbound", "protocol": "udp",
                "client": "10.0.0.1", "client_port": "4000",
                "server": "192.0.2.9", "server_port": "53", "vlan": "7", "attempts": "2",
                "icmp_type": "3", "icmp_code": "3", "icmp_sender": "192.0.2.1",
                "first": "2026-09-21T14:13:20.000000000Z", "quality": "sound",
            }
        },
        "text": "icmp_error outbound udp 10.0.0.1:4000 -> 192.0.2.9:53:"
                " port unreachable (ICMP 3/3) from 192.0.2.1",
    }  # fmt: skip


@given(flows())
def test_the_parameters_are_the_flow_logs_columns(record):
    [parameters] = told(record)["data"].values()
    columns = {name: value for name, value in expected(record).items() if value is not None}
    assert list(parameters) == [name for name in PARAMETERS if name in columns]
    assert parameters == {name: str(columns[name]) for name in parameters}


@given(flows())
def test_every_message_fits_what_every_daemon_accepts(record):
    [row] = rows(record)
    message = Messages("local7", "a" * 255).verdict(row)
    assert len(message) <= 2048, "section 6.1: what receivers should accept"
    parsed(message)


def test_the_time_is_that_of_the_verdict():
    message = told(flow("tcp", "::1", "::2", 1, 2, judged=START + 5_000_001_999))
    moment = datetime.datetime.fromisoformat(message["time"])
    assert moment.timestamp() == (START + 5_000_001_000) / 1e9


@pytest.mark.parametrize(
    ("state", "severity"),
    [("unanswered", 4), ("icmp_error", 4), ("refused", 5), ("unsolicited", 5), ("recovered", 6)],
)
def test_severities(state, severity):
    message = told(flow("tcp", "10.0.0.1", "10.0.0.2", 1, 2, state=State[state.upper()]))
    assert message["severity"] == severity


@pytest.mark.parametrize(("quality", "severity"), [("degraded", 4), ("suspect", 6)])
def test_a_suspect_verdict_alarms_nobody(quality, severity):
    record = flow("tcp", "10.0.0.1", "10.0.0.2", 1, 2, quality=Quality[quality.upper()])
    message = told(record)
    assert message["severity"] == severity
    assert message["data"]["chamaleonet@32473"]["quality"] == quality


def test_facilities_have_their_numbers():
    [row] = rows(flow("tcp", "10.0.0.1", "10.0.0.2", 1, 2))
    numbers = {
        name: parsed(Messages(name).verdict(row))["facility"]
        for name in ("kern", "daemon", "cron", "authpriv", "local0", "local7")
    }
    assert numbers == {
        "kern": 0, "daemon": 3, "cron": 9, "authpriv": 10, "local0": 16, "local7": 23,
    }  # fmt: skip
    assert len(FACILITIES) == 24


def test_an_unknown_facility_is_named():
    with pytest.raises(UserError, match="local8: no facility"):
        Messages("local8")


@pytest.mark.parametrize("name", ["ein Rechner", "a" * 256, "prüfer"])
def test_a_host_name_that_cannot_stand_in_a_message_is_left_out(name):
    assert told(flow("tcp", "10.0.0.1", "10.0.0.2", 1, 2), hostname=name)["host"] == "-"


@pytest.mark.parametrize("value", ['"', "\\", "]", 'a]b"c\\d', "[x=1]", "plain"])
def test_values_are_escaped(value):
    message = f'<14>1 - - - - - [a@1 v="{escaped(value)}"]'.encode()
    assert parsed(message)["data"] == {"a@1": {"v": value}}
