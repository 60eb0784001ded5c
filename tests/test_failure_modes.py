"""Every row of docs/failure-modes.md names a test, and the test is there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "failure-modes.md").read_text()
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in PAGE.splitlines()
    if line.startswith("|") and not re.match(r"\| (fault|---)", line)
]


def test_there_are_rows_and_all_are_filled_in():
    assert len(ROWS) > 20
    for row in ROWS:
        assert len(row) == 4, row
        assert all(row), row


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_a_row_has_a_test(row):
    named = re.findall(r"`([\w/]+\.py)::(\w+)`", row[-1])
    assert named, f"{row[0]}: no test is named"
    for path, name in named:
        functions = {
            node.name
            for node in ast.walk(ast.parse((ROOT / path).read_text()))
            if isinstance(node, ast.FunctionDef)
        }
        assert name in functions, f"{path}::{name}"
