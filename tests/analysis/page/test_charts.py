from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest

from chamaleonet.analysis.page import axes, charts, svg
from chamaleonet.analysis.page.charts import Bar, Piece, Series

X = axes.linear(0, 10, 0, 100)
Y = axes.linear(0, 10, 100, 0)
TITLES = {"x_title": "x", "y_title": "y"}


def _marks(drawing, tag):
    return [each for each in drawing.iter(tag) if "mark" in each.get("class", "").split()]


def test_bars_are_as_long_as_their_share():
    rows = [Bar("a", [Piece("c1", 1, "one"), Piece("c2", 3, "three")], "4")]
    one, three = _marks(charts.bars("b", rows), "rect")
    assert float(three.get("width")) == pytest.approx(3 * float(one.get("width")))
    assert float(three.get("x")) == pytest.approx(float(one.get("x")) + float(one.get("width")))


def test_bars_of_one_measure():
    rows = [Bar("a", [Piece("c1", 10, "")], "10"), Bar("b", [Piece("c1", 5, "")], "5")]
    ten, five = _marks(charts.bars("b", rows, whole=10), "rect")
    assert float(ten.get("width")) == pytest.approx(2 * float(five.get("width")))


def test_nothing_has_no_bar_and_a_little_is_seen():
    rows = [Bar("a", [Piece("c1", 0, ""), Piece("c2", 1, ""), Piece("c3", 1e9, "")], "")]
    little, _ = _marks(charts.bars("b", rows), "rect")
    assert float(little.get("width")) == 0.5


def test_long_labels_are_cut_and_told():
    label = "2001:db8:1234:5678::/64"
    drawing = charts.bars("b", [Bar(label, [Piece("c1", 1, "")], "1")])
    (text,) = [each for each in drawing.iter("text") if each.get("class") == "row"]
    assert text.text.endswith("…")
    assert text.find("title").text == label


def test_lines_break_where_nothing_is_known():
    points = [(0, 1, "a"), (1, 2, "b"), (2, None, "c"), (3, 4, "d")]
    drawing = charts.lines("l", [Series("c1", points)], X, Y, **TITLES)
    (path,) = drawing.iter("path")
    assert path.get("d") == "M0.0 90.0L10.0 80.0M30.0 60.0"
    assert [mark.find("title").text for mark in _marks(drawing, "circle")] == ["a", "b", "d"]


def test_steps_hold_their_value():
    drawing = charts.lines(
        "l", [Series("c1", [(0, 1, ""), (5, 3, "")])], X, Y, steps=True, **TITLES
    )
    assert next(drawing.iter("path")).get("d") == "M0.0 90.0L50.0 90.0L50.0 70.0"


def test_columns_go_up_and_down():
    y = axes.linear(-1, 1, 200, 0)
    drawing = charts.columns("c", [(1.0, ""), (-0.5, "")], ["1", "2"], y, **TITLES)
    up, down = _marks(drawing, "rect")
    assert (float(up.get("y")), float(up.get("height"))) == (0, 100)
    assert (float(down.get("y")), float(down.get("height"))) == (100, 50)


def test_cells_are_the_darker_the_larger_and_none_is_clear():
    drawing = charts.strip(
        "s", [("Mon", [(0, ""), (5, ""), (10, ""), (None, "")])], [""] * 4, x_title="x"
    )
    shades = [float(each.get("fill-opacity")) for each in _marks(drawing, "rect")]
    assert shades == pytest.approx([0.1, 0.55, 1, 0])


def test_a_panel_tells_both_values_of_a_step():
    drawing = charts.panels(
        "p", [(0, 0.5, "first"), (5, None, "second")], [4, 0], X, axes.shares(40, 0),
        axes.linear(0, 4, 100, 60), x_title="x", titles=("a", "b"), step=5,
    )  # fmt: skip
    assert [mark.find("title").text for mark in _marks(drawing, "rect")] == ["first", "second"]
    assert len(next(drawing.iter("path")).get("d").split("M")) == 2


def test_events_last():
    drawing = charts.events(
        "e", [(1, 3, 5, "c1", "long"), (2, 2, 1, "c2", "short")], X, Y, **TITLES
    )
    spans = [each for each in drawing.iter("line") if "span" in each.get("class")]
    assert [(each.get("x1"), each.get("x2")) for each in spans] == [("10", "30")]
    assert len(_marks(drawing, "circle")) == 2


def test_text_of_a_log_is_no_markup():
    evil = "</svg><script>alert(1)</script>\"'&\u202e"
    drawing = charts.bars(evil, [Bar(evil[:10], [Piece("c1", 1, evil)], evil)])
    written = str(svg.markup(drawing))
    assert "<script" not in written
    root = ET.fromstring(written)
    shown = evil.replace("\u202e", "\ufffd")
    assert root.get("aria-label") == shown
    assert root.find(".//rect/title").text == shown
