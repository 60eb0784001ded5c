import copy
import datetime
import ipaddress
import json

import jsonschema
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chamaleonet.flows.records import Quality, Query
from chamaleonet.flows.transitions import VERDICTS, State
from chamaleonet.log.columns import PORT_PROTOCOLS
from chamaleonet.log.events.jsonl import EventLog, events, json_schema
from tests.log.build import SECOND, START, flow, words
from tests.log.test_flowlog import expected, flows

KINDS, FIELDS = ("verdict", "flow"), ("eve", "ecs")
VALIDATORS = {
    fields: jsonschema.Draft202012Validator(
        json_schema(fields), format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER
    )
    for fields in FIELDS
}


def told(record, kind="verdict", fields="eve"):
    [line] = events(record, kind, fields).splitlines()
    return json.loads(line)


def late_error(**fields):
    """A flow that has all that an event can tell."""
    record = flow(
        "udp", "fd00::1", "2001:db8::9", 4000, 53, state=State.ICMP_ERROR, vlan=12, attempts=3,
        client_packets=4, client_bytes=400, server_packets=1, server_bytes=80, direction=3,
        icmp_type=1, icmp_code=4, last=START + 61 * SECOND + 999,
        judged=START + 1_234_567_899, reply_delay=1_500_000_000,
        **fields,
    )  # fmt: skip
    record["sender_hi"], record["sender_lo"] = words("2001:db8::1")
    return record


def test_an_event_as_suricata_would_name_it():
    event = told(late_error(), "verdict", "eve")
    assert 0 < event.pop("flow_id") < 2**53
    assert event.pop("community_id") == expected(late_error())["community_id"]
    assert event == {
        "timestamp": "2026-09-21T14:13:21.234567+0000",
        "event_type": "verdict",
        "vlan": [12],
        "src_ip": "fd00::1",
        "src_port": 4000,
        "dest_ip": "2001:db8::9",
        "dest_port": 53,
        "proto": "UDP",
        "flow": {
            "pkts_toserver": 4, "pkts_toclient": 1, "bytes_toserver": 400, "bytes_toclient": 80,
            "start": "2026-09-21T14:13:20.000000+0000",
            "end": "2026-09-21T14:14:21.000000+0000",
            "age": 61,
        },
        "chamaleonet": {
            "verdict": "icmp_error", "direction": "transit",
            "judged": "2026-09-21T14:13:21.234567+0000", "attempts": 3, "reply_delay": 1.5,
            "icmp_type": 1, "icmp_code": 4, "icmp_sender": "2001:db8::1", "quality": "sound",
        },
    }  # fmt: skip


def test_an_event_as_elastic_would_name_it():
    event = told(late_error(), "flow", "ecs")
    assert event["observer"].pop("version")
    flow_id = event["chamaleonet"].pop("flow_id")
    assert flow_id == told(late_error(), "verdict", "eve")["flow_id"]
    assert event == {
        "@timestamp": "2026-09-21T14:14:21.000000999Z",
        "ecs": {"version": "8.17.0"},
        "message": "icmp_error transit udp [fd00::1]:4000 -> [2001:db8::9]:53:"
                   " port unreachable (ICMP 1/4) from 2001:db8::1",
        "event": {
            "kind": "event", "category": ["network"], "type": ["connection", "end"],
            "action": "flow", "module": "chamaleonet", "dataset": "chamaleonet.flow",
            "outcome": "failure",
            "start": "2026-09-21T14:13:20.000000000Z",
            "end": "2026-09-21T14:14:21.000000999Z",
            "duration": 61 * SECOND + 999,
        },
        "source": {"ip": "fd00::1", "port": 4000, "packets": 4, "bytes": 400},
        "destination": {"ip": "2001:db8::9", "port": 53, "packets": 1, "bytes": 80},
        "network": {
            "type": "ipv6", "transport": "udp", "iana_number": "17", "direction": "external",
            "packets": 5, "bytes": 480, "vlan": {"id": "12"},
            "community_id": expected(late_error())["community_id"],
        },
        "related": {"ip": ["fd00::1", "2001:db8::9", "2001:db8::1"]},
        "observer": {"product": "ChamaleoNet", "type": "sensor"},
        "chamaleonet": {
            "verdict": "icmp_error", "direction": "transit",
            "judged": "2026-09-21T14:13:21.234567899Z", "attempts": 3, "reply_delay": 1.5,
            "icmp_type": 1, "icmp_code": 4, "icmp_sender": "2001:db8::1", "quality": "sound",
        },
    }  # fmt: skip


def test_what_a_flow_has_not_is_left_out():
    record = flow("icmp", "10.0.0.1", "10.0.0.2", 7, 7, query=Query.ECHO)
    eve, ecs = told(record), told(record, fields="ecs")
    assert not {"vlan", "src_port", "dest_port"} & eve.keys()
    assert not {"icmp_type", "icmp_sender", "reply_delay"} & eve["chamaleonet"].keys()
    assert "vlan" not in ecs["network"]
    assert "port" not in ecs["source"] | ecs["destination"]
    assert ecs["related"] == {"ip": ["10.0.0.1", "10.0.0.2"]}


def microseconds(text):
    """Return a time of the flow log as EVE writes it."""
    return text and f"{text[:-4]}+0000"


def agreed(row, time):
    """Return what the object "chamaleonet" holds, of a row of the flow log."""
    names = (
        "verdict", "direction", "attempts", "reply_delay", "icmp_type", "icmp_code", "icmp_sender",
        "quality",
    )  # fmt: skip
    values = {name: row[name] for name in names} | {"judged": time(row["judged"])}
    return {name: value for name, value in values.items() if value is not None}


@pytest.mark.parametrize("kind", KINDS)
@given(records=st.lists(flows(), min_size=1, max_size=5))
def test_eve_agrees_with_the_flow_log(kind, records):
    lines = events(np.concatenate(records), kind, "eve").splitlines()
    for line, record in zip(lines, records, strict=True):
        event, row = json.loads(line), expected(record)
        VALIDATORS["eve"].validate(event)
        assert event["event_type"] == kind
        assert (event["src_ip"], event["dest_ip"]) == (row["client"], row["server"])
        assert event.get("src_port") == row["client_port"]
        assert event.get("dest_port") == row["server_port"]
        assert event.get("vlan", [None]) == [row["vlan"]]
        assert event["community_id"] == row["community_id"]
        assert event["chamaleonet"] == agreed(row, microseconds)
        assert event["flow"]["start"] == microseconds(row["first"])
        assert event["flow"]["end"] == microseconds(row["last"])
        assert event["flow"]["pkts_toserver"] == row["client_packets"]
        assert event["flow"]["bytes_toclient"] == row["server_bytes"]
        if kind == "flow":
            assert event["timestamp"] == event["flow"]["end"]
        elif row["judged"]:
            assert event["timestamp"] == event["chamaleonet"]["judged"]


@pytest.mark.parametrize("kind", KINDS)
@given(records=st.lists(flows(), min_size=1, max_size=5))
def test_ecs_agrees_with_the_flow_log(kind, records):
    lines = events(np.concatenate(records), kind, "ecs").splitlines()
    for line, record in zip(lines, records, strict=True):
        event, row = json.loads(line), expected(record)
        VALIDATORS["ecs"].validate(event)
        source, destination, network = event["source"], event["destination"], event["network"]
        assert event["event"]["action"] == kind
        assert (source["ip"], destination["ip"]) == (row["client"], row["server"])
        assert source.get("port") == row["client_port"]
        assert destination.get("port") == row["server_port"]
        assert destination["packets"] == row["server_packets"]
        assert source["bytes"] == min(row["client_bytes"], 2**63 - 1)
        assert network["packets"] == row["client_packets"] + row["server_packets"]
        assert network["community_id"] == row["community_id"]
        assert network["type"] == f"ipv{ipaddress.ip_address(row['client']).version}"
        assert event["chamaleonet"] == agreed(row, lambda time: time) | {
            "flow_id": event["chamaleonet"]["flow_id"]
        }
        start = datetime.datetime.fromisoformat(event["event"]["start"])
        end = datetime.datetime.fromisoformat(event["event"]["end"])
        if end > start:
            assert abs(event["event"]["duration"] / 1e9 - (end - start).total_seconds()) < 2e-6


@pytest.mark.parametrize("fields", FIELDS)
@pytest.mark.parametrize("kind", KINDS)
def test_every_protocol_and_verdict_fits_the_schema(kind, fields):
    ends = ("10.0.0.1", "192.0.2.9"), ("fd00::1", "2001:db8::9")
    records = [
        flow(protocol, *ends[protocol % 2], *([4, 5] if protocol in PORT_PROTOCOLS else []),
             state=state)
        for protocol in range(256)
        for state in VERDICTS
    ]  # fmt: skip
    lines = events(np.concatenate(records), kind, fields).splitlines()
    assert len(lines) == len(records)
    for line in lines:
        VALIDATORS[fields].validate(json.loads(line))


@pytest.mark.parametrize("fields", FIELDS)
def test_the_schema_knows_every_field_and_refuses_others(fields):
    jsonschema.Draft202012Validator.check_schema(json_schema(fields))
    event = told(late_error(), fields=fields)
    VALIDATORS[fields].validate(event)

    def objects(value):
        return [value, *(inner for each in value.values() if isinstance(each, dict)
                         for inner in objects(each))]  # fmt: skip

    for i in range(len(objects(event))):
        changed = copy.deepcopy(event)
        objects(changed)[i]["surprise"] = 1
        assert not VALIDATORS[fields].is_valid(changed)
        for name in objects(event)[i]:
            changed = copy.deepcopy(event)
            objects(changed)[i][name] = None
            assert not VALIDATORS[fields].is_valid(changed), name


@pytest.mark.parametrize("fields", FIELDS)
def test_what_is_never_absent_is_required(fields):
    event = told(flow(47, "10.0.0.1", "10.0.0.2", state=State.PENDING), "flow", fields)
    for name in event:
        without = {key: value for key, value in event.items() if key != name}
        assert not VALIDATORS[fields].is_valid(without), name


@pytest.mark.parametrize(
    ("record", "kind"),
    [
        (flow("icmp", "10.0.0.1", "10.0.0.2", 7, 7, query=Query.ECHO), 8),
        (flow("icmp", "10.0.0.1", "10.0.0.2", 7, 7, query=Query.TIMESTAMP), 13),
        (flow("icmpv6", "::1", "::2", 7, 7, query=Query.ECHO), 128),
        (flow("icmpv6", "::1", "::2", 7, 7, query=Query.ECHO, state=State.UNSOLICITED), 129),
    ],
)
def test_a_query_has_the_type_of_what_the_client_sent(record, kind):
    event = told(record)
    assert (event["icmp_type"], event["icmp_code"]) == (kind, 0)


def test_protocols_are_named_as_suricata_names_them():
    names = {
        protocol: told(flow(protocol, "10.0.0.1", "10.0.0.2"))["proto"]
        for protocol in (1, 6, 17, 47, 58, 132, 136, 253)
    }
    assert names == {
        1: "ICMP", 6: "TCP", 17: "UDP", 47: "GRE", 58: "IPv6-ICMP", 132: "SCTP", 136: "UDPLite",
        253: "253",
    }  # fmt: skip


def test_one_flow_has_one_id():
    def flow_id(*ports, kind="verdict", **fields):
        return told(flow("tcp", "10.0.0.1", "10.0.0.2", *ports, **fields), kind)["flow_id"]

    assert flow_id(1, 2) == flow_id(1, 2, kind="flow", state=State.RECOVERED, last=START + 9)
    different = [flow_id(n, 2) for n in range(100)] + [flow_id(1, 2, first=START + 1)]
    assert len(set(different)) == 101


@pytest.mark.parametrize(
    ("state", "outcome"),
    [
        ("answered", "success"), ("recovered", "success"),
        ("refused", "failure"), ("icmp_error", "failure"), ("unanswered", "failure"),
        ("pending", "unknown"), ("midstream", "unknown"), ("unsolicited", "unknown"),
    ],
)  # fmt: skip
def test_outcomes(state, outcome):
    record = flow("tcp", "10.0.0.1", "10.0.0.2", 1, 2, state=State[state.upper()])
    assert told(record, fields="ecs")["event"]["outcome"] == outcome


def test_the_outcome_of_a_suspect_failure_is_unknown():
    def outcome(state, quality):
        record = flow("tcp", "10.0.0.1", "10.0.0.2", 1, 2, state=state, quality=quality)
        return told(record, fields="ecs")["event"]["outcome"]

    assert outcome(State.UNANSWERED, Quality.DEGRADED) == "failure"
    assert outcome(State.UNANSWERED, Quality.SUSPECT) == "unknown"
    assert outcome(State.ANSWERED, Quality.SUSPECT) == "success"


@pytest.mark.parametrize("fields", FIELDS)
def test_an_event_log_writes_what_it_is_told(fields):
    written = []
    log = EventLog(written.append, fields)
    two = np.concatenate([flow("tcp", "10.0.0.1", "10.0.0.2", n, 80) for n in (1, 2)])
    log.verdicts(two)
    log.ended(two[1:])
    assert written == [events(two, "verdict", fields), events(two[1:], "flow", fields)]


def test_no_flows_are_no_lines():
    assert events(late_error()[:0], "flow", "eve") == b""
