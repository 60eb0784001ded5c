"""Block lists in three formats."""

from __future__ import annotations

import json

import pytest

from chamaleonet.analysis.indicators import load
from chamaleonet.errors import UserError


@pytest.fixture
def read(tmp_path):
    """Return a function that writes a file and reads it as a block list."""

    def write_and_read(name, text):
        path = tmp_path / name
        path.write_text(text)
        return load(path)

    return write_and_read


def networks(indicators):
    return [str(each.network) for each in indicators.listed]


def test_a_list(read):
    found = read(
        "drop.txt",
        "; Spamhaus\n# FireHOL\n\n203.0.113.0/24 ; SBL1\n198.51.100.7\n2001:db8::/32#six\n",
    )
    assert networks(found) == ["203.0.113.0/24", "198.51.100.7/32", "2001:db8::/32"]
    assert [each.source for each in found.listed] == [
        "drop.txt:4 (SBL1)", "drop.txt:5", "drop.txt:6 (six)",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "text",
    [
        "first_seen,dst_ip,dst_port\n2026-01-01,203.0.113.1,443\n2026-01-02,2001:db8::1,80\n",
        '# comment\n"port","IP Address"\n80, "203.0.113.1"\n81, "2001:db8::1"\n',
        "x,203.0.113.1\ny,2001:db8::1\n",
    ],
)
def test_csv(read, text):
    found = read("list.csv", text)
    assert networks(found) == ["203.0.113.1/32", "2001:db8::1/128"]


def bundle(*objects):
    return json.dumps({"type": "bundle", "id": "bundle--1", "objects": list(objects)})


def indicator(pattern, **more):
    return {"type": "indicator", "id": "indicator--1", "pattern": pattern,
            "pattern_type": "stix"} | more  # fmt: skip


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("[ipv4-addr:value = '203.0.113.1']", ["203.0.113.1/32"]),
        ("[ipv4-addr:value='203.0.113.1/32']", ["203.0.113.1/32"]),
        ("[ipv4-addr:value ISSUBSET '203.0.113.0/24']", ["203.0.113.0/24"]),
        ("[ipv6-addr:value = '2001:db8::1']", ["2001:db8::1/128"]),
        ("[network-traffic:dst_ref.value = '203.0.113.1']", ["203.0.113.1/32"]),
        (
            "[ipv4-addr:value IN ('203.0.113.1', '203.0.113.2')]",
            ["203.0.113.1/32", "203.0.113.2/32"],
        ),
        (
            "[ipv4-addr:value = '203.0.113.1' OR ipv6-addr:value = '2001:db8::1']",
            ["203.0.113.1/32", "2001:db8::1/128"],
        ),
        (
            "[ipv4-addr:value = '203.0.113.1'] OR [ipv4-addr:value = '203.0.113.2']",
            ["203.0.113.1/32", "203.0.113.2/32"],
        ),
    ],
)
def test_stix(read, pattern, expected):
    found = read("list.json", bundle({"type": "identity"}, indicator(pattern, name="a botnet")))
    assert networks(found) == expected
    assert {each.source for each in found.listed} == {"a botnet"}
    assert found.skipped == {}


@pytest.mark.parametrize(
    ("item", "why"),
    [
        (indicator("[domain-name:value = 'example.com']"), "something else"),
        (indicator("rule x {}", pattern_type="yara"), "another language"),
        (indicator("[ipv4-addr:value = '203.0.113.1']", revoked=True), "revoked"),
        (
            indicator("[ipv4-addr:value = '203.0.113.1' AND network-traffic:dst_port = 80]"),
            "more than an address",
        ),
        (indicator("[ipv4-addr:value != '203.0.113.1']"), "more than an address"),
        (
            indicator("[ipv4-addr:value = '203.0.113.1'] REPEATS 5 TIMES WITHIN 60 SECONDS"),
            "more than an address",
        ),
    ],
)
def test_what_cannot_be_asked_of_an_address_is_counted(read, item, why):
    found = read("list.stix", bundle(item, item))
    assert found.listed == ()
    ((reason, number),) = found.skipped.items()
    assert why in reason
    assert number == 2


def test_when_an_indicator_ends(read):
    item = indicator("[ipv4-addr:value = '203.0.113.1']", valid_until="1970-01-01T00:00:01.5Z")
    assert read("list.json", bundle(item)).listed[0].until == 1_500_000_000


@pytest.mark.parametrize(
    ("name", "text", "complaint"),
    [
        ("a.txt", "203.0.113.1\nexample.com\n", "a.txt:2: 'example.com' is no address"),
        ("a.csv", "ip,port\n203.0.113.1,80\n?,80\n", "a.csv:3: '?' is no address"),
        ("a.csv", "port,ip\n80\n", "a.csv:2: has no column 2"),
        ("a.csv", "name,colour\nx,y\n", "a.csv:1: no column of addresses"),
        ("a.json", "{", "a.json: no JSON"),
        ("a.json", "[]", "a.json: no STIX bundle"),
        ("a.json", '{"type": "bundle", "objects": {}}', "a.json: objects is no list"),
        ("a.json", bundle(3), "a.json: objects[0]: no object"),
        ("a.json", bundle({"type": "indicator"}), "a.json: objects[0]: has no pattern"),
        (
            "a.json",
            bundle(indicator("[ipv4-addr:value = 'x']")),
            "a.json: indicator--1: 'x' is no address",
        ),
        (
            "a.json",
            bundle(indicator("[ipv4-addr:value = '203.0.113.1']", valid_until="soon")),
            "a.json: indicator--1: valid_until: 'soon' is no time",
        ),
    ],
)
def test_mistakes_are_located(read, name, text, complaint):
    with pytest.raises(UserError) as raised:
        read(name, text)
    assert complaint in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(UserError, match="No such file"):
        load(tmp_path / "missing.txt")
