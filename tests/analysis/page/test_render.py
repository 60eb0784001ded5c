"""The page as text: what is in it without a browser."""

from __future__ import annotations

import base64
import copy
import hashlib
import json
import re
from html.parser import HTMLParser
from typing import Any

import pytest

from chamaleonet.analysis.page.render import render

EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(2)>'\"&<!--]]>\u2028\u202e"


class _Parser(HTMLParser):
    """Collects elements, with their text where they have one."""

    def __init__(self) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, list[str]] = {"script": [], "style": [], "title": []}
        self._inside = ""

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag in self.texts:
            self.texts[tag].append("")
            self._inside = tag

    def handle_endtag(self, tag):
        if tag == self._inside:
            self._inside = ""

    def handle_data(self, data):
        if self._inside:
            self.texts[self._inside][-1] += data

    def attributes(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def _parsed(page: str) -> _Parser:
    parser = _Parser()
    parser.feed(page)
    return parser


def _poisoned(value: Any) -> Any:
    """Return a report with another text in the place of each that could come from a log."""
    if isinstance(value, dict):
        kept = ("about", "first", "last", "begin", "end", "hour", "time", "kind", "direction",
                "verdict", "aggregate", "order", "kinds", "popularity")  # fmt: skip
        return {key: each if key in kept else _poisoned(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_poisoned(each) for each in value]
    return EVIL + value if isinstance(value, str) else value


def test_no_text_of_a_report_is_markup(busy_report):
    report = _poisoned(busy_report)
    report["about"] = copy.deepcopy(busy_report["about"]) | {"source": EVIL}
    page, clean = _parsed(render(report)), _parsed(render(busy_report))
    assert {tag for tag, _ in page.elements} == {tag for tag, _ in clean.elements}
    assert not any(name.startswith("on") for _, each in page.elements for name in each)
    assert page.texts["script"][1:] == clean.texts["script"][1:]
    assert json.loads(page.texts["script"][0]) == report


def test_it_holds_the_whole_report(busy_report):
    page = _parsed(render(busy_report))
    assert json.loads(page.texts["script"][0]) == busy_report
    assert page.attributes("script")[0] == {"type": "application/json", "id": "report"}


def test_it_lets_in_nothing_but_its_own_style_and_script(busy_report):
    page = _parsed(render(busy_report))
    policy = next(
        each["content"]
        for each in page.attributes("meta")
        if each.get("http-equiv") == "Content-Security-Policy"
    )
    directives = dict(part.strip().split(" ", 1) for part in policy.split(";"))
    assert directives["default-src"] == "'none'"
    for directive, source in (
        ("style-src", page.texts["style"][0]),
        ("script-src", page.texts["script"][1]),
    ):
        digest = base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()
        assert directives[directive] == f"'sha256-{digest}'"
    assert "unsafe" not in policy


def test_it_names_nothing_outside(busy_report):
    page = render(busy_report)
    elements = _parsed(page).elements
    links = [
        value
        for _, attributes in elements
        for name, value in attributes.items()
        if name in ("src", "href", "srcset", "action", "data", "poster")
    ]
    assert links
    assert [link for link in links if not link.startswith(("#", "data:"))] == []
    assert not any("style" in attributes for _, attributes in elements)
    style = _parsed(page).texts["style"][0]
    assert not re.search(r"url\(|@import|@font-face", style)


@pytest.mark.parametrize("which", ["busy_report", "empty_report"])
def test_it_can_be_read_without_eyes_or_mouse(which, request):
    page = _parsed(render(request.getfixturevalue(which)))
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(set(ids)) == len(ids)
    anchors = [each["href"][1:] for each in page.attributes("a")]
    assert set(anchors) <= set(ids)
    assert [attributes.get("lang") for attributes in page.attributes("html")] == ["en"]
    for svg in page.attributes("svg"):
        assert svg["role"] == "img"
        assert svg["tabindex"] == "0"
        assert svg["aria-label"]
    labelled = [each["aria-labelledby"] for each in page.attributes("section")]
    assert set(labelled) <= set(ids)
    assert len(page.attributes("caption")) == len(page.attributes("table"))


def test_long_lists_are_cut_and_say_so(busy_report):
    report = copy.deepcopy(busy_report)
    report["tables"]["verdicts"] *= 20
    page = render(report)
    more = len(report["tables"]["verdicts"]) - 200
    assert f"{more:,} more rows in --json or --csv." in page
    assert "more rows" not in render(busy_report)


def test_code_in_notes(busy_report):
    report = copy.deepcopy(busy_report)
    report["about"]["tables"]["leaks"]["note"] = "see `a<b` and `c"
    assert "see <code>a&lt;b</code> and <code>c</code>" in render(report)
