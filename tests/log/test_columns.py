from pathlib import Path

import jsonschema

from chamaleonet.log import columns
from chamaleonet.log.columns import COLUMNS, json_schema

ISSUED = (
    "first last judged verdict direction protocol client client_port server server_port vlan"
    " attempts client_packets server_packets client_bytes server_bytes reply_delay"
    " icmp_type icmp_code icmp_sender community_id quality"
)


def test_the_columns_are_those_that_were_promised():
    assert " ".join(column.name for column in COLUMNS) == ISSUED


def test_the_json_schema_is_one():
    schema = json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["additionalProperties"] is False
    assert " ".join(schema["required"]) == ISSUED
    assert schema["properties"]["reply_delay"]["type"] == ["number", "null"]


def test_the_documentation_shows_this_table():
    page = Path(__file__).parents[2] / "docs" / "flow-log.md"
    assert columns.markdown() in page.read_text()
