import json
from pathlib import Path

import jsonschema
import pytest
import yaml

from chamaleonet import config
from chamaleonet.config import Config, Endpoint, Switch
from chamaleonet.errors import UserError
from chamaleonet.flows.transitions import State

DEPLOY = Path(__file__).parent.parent / "deploy"
SWITCH = "switches:\n  - dp_id: a1\n    pipeline: conntrack\n    logger_port: 4\n"


@pytest.fixture
def write(tmp_path):
    def write(text):
        path = tmp_path / "probe.yaml"
        path.write_text(text)
        return path

    return write


def test_defaults_suffice_for_replay():
    assert Config().timeout == 3 * 10**9
    assert Config().capture == (State.UNANSWERED, State.ICMP_ERROR)
    assert Config().switches == ()


def test_an_empty_file_means_the_defaults(write):
    assert config.load(write("# nothing\n")) == Config()


@pytest.mark.parametrize(
    ("text", "dp_id"),
    [("0000000000000010", 0x10), ("a1", 0xA1), ("'0xA1'", 0xA1), ("12:30", 0x1230), ("1e3", 0x1E3)],
)
def test_datapath_ids_are_hexadecimal_whatever_yaml_makes_of_them(write, text, dp_id):
    path = write(SWITCH.replace("a1", text))
    assert config.load(path).switches[0].dp_id == dp_id


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("timeout: 3s\ninternl: []\n", 2, "internl: unknown key"),
        ("timeout: 3\n", 1, "timeout: '3' is not a duration"),
        ("timeout: 3s\ntimeout: 4s\n", 2, "timeout: given twice"),
        ("internal:\n  - 10.0.0.0/8\n  - 10.0.0.1/8\n", 3, "internal.1: '10.0.0.1/8' is not a net"),
        ("openflow:\n  listen: localhost:6653\n", 2, "openflow.listen: 'localhost' is not an IP"),
        ("openflow: {listen: '::1:6653'}\n", 1, "openflow.listen: write an IPv6 address in brac"),
        ("capture: [unanswered, answered]\n", 1, "capture.1: 'answered' cannot be captured"),
        (SWITCH + "    zone: 7\n", 5, "switches.0.zone: unknown key"),
        (SWITCH + "    tables: {scope: 5}\n", 5, "switches.0.tables: tables must ascend"),
        (SWITCH + "    snaplen: 64\n", 5, "switches.0.snaplen: "),
        (SWITCH + "    redirect: {idle_timeout: 500ms}\n", 5, "switches.0.redirect: OpenFlow coun"),
        (SWITCH + "    candidates: {port: 3}\n", 5, "switches.0.candidates: port and interface"),
        (SWITCH.replace("a1", "eth0"), 2, "switches.0.dp_id: 'eth0' is not a datapath id"),
        ("switches:\n  - {}\n", 2, "switches.0.dp_id: Field required"),
        ("- timeout\n", 1, "the file must hold keys and values"),
        ("timeout: [3s\n", 2, ""),
        ("? [a]\n: b\n", 1, "a key must be a word"),
        ("stream:\n  address: tcp:192.0.2.1:9000\n", 1, "stream: a stream over TCP needs tls"),
    ],
)
def test_a_mistake_is_named_by_file_line_and_field(write, text, line, message):
    path = write(text)
    with pytest.raises(UserError) as caught:
        config.load(path)
    assert str(caught.value).startswith(f"{path}:{line}: {message}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("timeout: 180s\n", "timeout must be shorter than idle_timeout"),
        (SWITCH + SWITCH.partition("\n")[2], "two switches have the same dp_id"),
        ("\0", "special characters are not allowed"),
        ("&a [*a]\n", "recursion"),
    ],
)
def test_a_mistake_of_the_whole_file_is_named(write, text, message):
    with pytest.raises(UserError, match=message):
        config.load(write(text))


def test_a_missing_file_and_a_directory_are_named(tmp_path):
    with pytest.raises(UserError, match="No such file"):
        config.load(tmp_path / "none.yaml")
    with pytest.raises(UserError, match="Is a directory"):
        config.load(tmp_path)


def test_a_file_that_is_no_text_is_named(tmp_path):
    (tmp_path / "x.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="not UTF-8"):
        config.load(tmp_path / "x.yaml")


@pytest.mark.parametrize("path", sorted(DEPLOY.glob("*.yaml")), ids=lambda path: path.name)
def test_the_examples_are_valid_and_survive_a_dump(path, write):
    loaded = config.load(path)
    assert loaded.switches
    assert config.load(write(config.dump(loaded))) == loaded


@pytest.mark.parametrize("path", sorted(DEPLOY.glob("*.yaml")), ids=lambda path: path.name)
def test_the_schema_accepts_the_examples_and_no_unknown_key(path):
    document = yaml.load(path.read_text(), Loader=yaml.BaseLoader)
    # Numbers and booleans may be written as text as well; the schema is for typed documents.
    typed = json.loads(config.load(path).model_dump_json(exclude_unset=True))
    validator = jsonschema.Draft202012Validator(config.json_schema())
    assert set(typed) == set(document)
    validator.validate(typed)
    assert not validator.is_valid(typed | {"unknown": 1})


def test_every_field_is_described():
    schema = config.json_schema()
    sections = [schema, *schema["$defs"].values()]
    fields = [field for section in sections for field in section.get("properties", {}).values()]
    assert len(fields) > 30
    described = schema["$defs"] | {"": {}}
    for field in fields:  # a section that says the same as the field says it once
        section = described[field.get("$ref", "").rpartition("/")[2]]
        assert field.get("description") or section["description"]


def test_conntrack_cuts_at_ports_and_plain_openflow_does_not():
    common = {"dp_id": 1, "logger_port": 4}
    assert Switch(pipeline="conntrack", **common).truncates
    assert not Switch(pipeline="reactive", **common).truncates
    assert Switch(pipeline="reactive", truncate=True, **common).truncates
    with pytest.raises(ValueError, match="can truncate"):
        Switch(pipeline="conntrack", truncate=False, **common)


def test_detectors_need_a_port_and_short_packets():
    common = {"dp_id": 1, "logger_port": 4, "pipeline": "conntrack"}
    port = {"port": 3, "interface": "cand0", "detectors": 2}
    assert Switch(candidates=port, **common).candidates.detectors == 2
    with pytest.raises(ValueError, match="detectors need a candidate port"):
        Switch(candidates={"detectors": 2}, **common)
    with pytest.raises(ValueError, match="with detectors snaplen is at most 512"):
        Switch(candidates=port, snaplen=513, **common)


def test_endpoints_are_written_as_they_are_read():
    assert str(Endpoint("127.0.0.1", 1)) == "127.0.0.1:1"
    assert str(Endpoint("::1", 1)) == "[::1]:1"


def test_bridges_of_one_open_vswitch_have_zones_of_their_own(write):
    def two(*zones):
        return write("switches:\n" + "".join(
            f"  - {{name: s{zone}{at}, dp_id: a{at}, pipeline: conntrack, logger_port: 4,"
            f" conntrack: {{zone: {zone}, datapath: netdev}}}}\n"
            for at, zone in enumerate(zones)
        ))  # fmt: skip

    with pytest.raises(UserError, match="two switches of one Open vSwitch have the same"):
        config.load(two(7, 7))
    assert [each.conntrack.zone for each in config.load(two(7, 8)).switches] == [7, 8]
