from __future__ import annotations

from chamaleonet.analysis.page.grids import MOST_ROWS, Cell, grid

SCHEMAS = {
    "host": {"type": "string"},
    "flows": {"type": "integer"},
    "share": {"anyOf": [{"type": "number", "unit": "share"}, {"type": "null"}]},
    "at": {"type": "string", "unit": "UTC"},
}
COLUMNS = {
    "host": {"label": "host", "unit": ""},
    "flows": {"label": "erroneous flows", "unit": "flows"},
    "share": {"label": "share", "unit": "share"},
    "at": {"label": "first", "unit": "UTC"},
}
ROW = {"host": "10.0.0.1", "flows": 1234, "share": None, "at": "2026-11-23T00:00:00Z"}


def test_cells_are_read_one_way_and_sorted_another():
    (row,) = grid("c", [ROW], SCHEMAS, COLUMNS).rows
    assert row == [
        Cell("10.0.0.1", "10.0.0.1"), Cell("1,234", "1234"), Cell("–", ""),  # noqa: RUF001
        Cell("2026-11-23 00:00:00", "2026-11-23 00:00:00"),
    ]  # fmt: skip


def test_units_that_neither_label_nor_values_tell():
    columns = grid("c", [ROW | {"share": 0.5}], SCHEMAS, COLUMNS).columns
    assert [column.unit for column in columns] == ["", "", "", "UTC"]
    assert [column.numeric for column in columns] == [False, True, True, False]


def test_what_is_missing_may_have_a_meaning():
    (row,) = grid("c", [ROW], SCHEMAS, COLUMNS, missing="> 60 s").rows
    assert row[2] == Cell("> 60 s", "")


def test_long_lists_are_cut_and_say_so():
    shown = grid("c", [ROW] * (MOST_ROWS + 7), SCHEMAS, COLUMNS)
    assert (len(shown.rows), shown.more) == (MOST_ROWS, 7)
    assert grid("c", [ROW], SCHEMAS, COLUMNS).more == 0
