from __future__ import annotations

from chamaleonet.analysis.parts import lists, numbers

ROWS = [{"a": 1}]


def test_a_list_is_its_only_part():
    assert list(lists(ROWS)) == [((), ROWS)]
    assert list(numbers(ROWS)) == []


def test_an_object_is_walked_in_its_order():
    value = {"top": ROWS, "n": 1, "inner": {"share": None, "rows": [], "text": "t"}}
    assert list(lists(value)) == [(("top",), ROWS), (("inner", "rows"), [])]
    assert list(numbers(value)) == [
        (("n",), 1), (("inner", "share"), None), (("inner", "text"), "t"),
    ]  # fmt: skip
