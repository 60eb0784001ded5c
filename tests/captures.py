"""The sample captures, where they are at hand."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

_DATA = Path(__file__).parents[2] / "shared" / "data"
EXPECTED = (
    {
        name: entry["summary"]
        for name, entry in json.loads((_DATA / "expected.json").read_text()).items()
    }
    if _DATA.is_dir()
    else {}
)
CAPTURES = {name: _DATA / "captures" / name for name in EXPECTED}

needs_captures = pytest.mark.skipif(not CAPTURES, reason="the sample captures are not at hand")
