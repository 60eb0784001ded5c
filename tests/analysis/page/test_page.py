"""The page in a browser."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

from chamaleonet.analysis.page.render import render
from tests.analysis.page import browser as chromium
from tests.analysis.page.test_render import EVIL

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.skipif(chromium.PROGRAM is None, reason="Chromium is not installed")


@pytest.fixture(scope="module")
def browser() -> Iterator[chromium.Browser]:
    with chromium.Browser() as started:
        yield started


@pytest.fixture(scope="module")
def files(busy_report, empty_report, tmp_path_factory) -> dict[str, Path]:
    directory = tmp_path_factory.mktemp("pages")
    evil = busy_report | {"about": busy_report["about"] | {"source": EVIL}}
    evil["findings"] = [each | {"cause": EVIL} for each in busy_report["findings"]]
    reports = {"busy": busy_report, "empty": empty_report, "evil": evil}
    for name, report in reports.items():
        (directory / f"{name}.html").write_text(render(report), "utf-8")
    return {name: directory / f"{name}.html" for name in reports}


@pytest.fixture
def show(browser, files) -> Iterator[Callable[..., chromium.Page]]:
    """Return a function that shows a page until the test ends."""
    with ExitStack() as pages:

        def open_page(name: str = "busy", **how: Any) -> chromium.Page:
            page = browser.open(files[name], **how)
            pages.callback(page.close)
            return page

        yield open_page


def _key(page: chromium.Page, key: str) -> str:
    """Press a key and return what the tooltip then says, "" if it is hidden."""
    page.press(key)
    return _tip(page)


def _tip(page: chromium.Page) -> str:
    return page.evaluate(
        "(tip => tip.hidden ? '' : tip.textContent)(document.getElementById('tip'))"
    )


@pytest.mark.parametrize("name", ["busy", "empty", "evil"])
@pytest.mark.parametrize("script", [True, False])
def test_it_asks_for_nothing_and_the_console_is_silent(show, files, name, script):
    page = show(name, script=script)
    page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
    assert page.complaints() == []
    # Its icon is part of it.
    asked = [address for address in page.requests() if not address.startswith("data:")]
    assert asked == [files[name].as_uri()]


def test_the_policy_stops_what_is_not_its_own(show):
    """The page's own rules hold: it can neither call out nor run what was smuggled in."""
    page = show()
    page.evaluate(
        "document.body.append(Object.assign(new Image(), {src: 'file:///etc/x.png'}));"
        "document.body.append(Object.assign(document.createElement('script'),"
        " {textContent: 'window.smuggled = true'}));"
    )
    assert page.evaluate("window.smuggled") is None
    assert len(page.complaints()) == 2


@pytest.mark.parametrize("width", [1280, 390])
def test_every_chart_is_drawn(show, width):
    page = show(width=width)
    drawn = page.evaluate(
        """[...document.querySelectorAll("figure")].map(figure => {
            const svg = figure.querySelector("svg").getBoundingClientRect();
            const marks = [...figure.querySelectorAll(".mark")].map(m => m.getBoundingClientRect());
            const inside = marks.every(m => m.width > 0 && m.height > 0
                && m.left > svg.left - 6 && m.right < svg.right + 6
                && m.top > svg.top - 6 && m.bottom < svg.bottom + 6);
            return [figure.querySelector("figcaption").textContent, svg.width, svg.height,
                marks.length, inside];
        })"""
    )
    assert len(drawn) > 20
    for title, wide, high, marks, inside in drawn:
        assert wide > 250, title
        assert high > 20, title
        assert marks > 0, title
        assert inside, title


def test_it_fits_a_narrow_window(show):
    page = show(width=390)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_light_and_dark_by_system_and_by_button(show):
    light, dark = show(), show(dark=True)
    colour = "getComputedStyle(document.body).backgroundColor"
    colours = light.evaluate(colour), dark.evaluate(colour)
    assert colours[0] != colours[1]
    assert light.screenshot() != dark.screenshot()
    for page, other in ((light, colours[1]), (dark, colours[0])):
        page.evaluate("document.getElementById('theme').click()")
        assert page.evaluate(colour) == other
    pressed = "document.getElementById('theme').getAttribute('aria-pressed')"
    assert (light.evaluate(pressed), dark.evaluate(pressed)) == ("true", "false")


def test_text_can_be_read_on_its_ground(show):
    """Contrast of at least 4.5 to 1 (WCAG 2.2, 1.4.3) for text, by its relative luminance."""
    measure = """(() => {
        const channel = c => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
        const luminance = colour => {
            const [r, g, b] = colour.match(/[\\d.]+/g).map(Number);
            return 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
        };
        const ground = luminance(getComputedStyle(document.body).backgroundColor);
        return [["body", "color"], [".counted", "color"], ["a", "color"], ["summary", "color"],
                ["svg .tick", "fill"]].map(([selector, property]) => {
            const text = luminance(getComputedStyle(document.querySelector(selector))[property]);
            const [high, low] = [Math.max(text, ground), Math.min(text, ground)];
            return [selector, (high + 0.05) / (low + 0.05)];
        });
    })()"""
    for dark in (False, True):
        for selector, contrast in show(dark=dark).evaluate(measure):
            assert contrast >= 4.5, (selector, dark)


def test_the_keyboard_reaches_every_chart_and_its_values(show):
    page = show()
    charts = page.evaluate("document.querySelectorAll('svg').length")
    reached = set()
    stops = page.evaluate(
        "document.querySelectorAll('a, button, input, summary, [tabindex]').length"
    )
    for _ in range(stops):
        page.press("Tab")
        if page.evaluate("document.activeElement.tagName") == "svg":
            reached.add(page.evaluate("document.activeElement.getAttribute('aria-label')"))
            if len(reached) == charts:
                break
    assert len(reached) == charts
    page.evaluate("document.querySelector('#health svg').focus()")
    first = _key(page, "ArrowRight")
    second = _key(page, "ArrowRight")
    assert "" not in (first, second)
    assert first != second
    assert _key(page, "Home") == first
    assert _key(page, "End") != first
    assert page.evaluate("document.querySelectorAll('.mark.at').length") == 1
    assert _key(page, "Escape") == ""


def test_the_pointer_tells_what_is_near(show):
    page = show()
    x, y = page.evaluate(
        """(() => {
            const bar = document.querySelector("#verdicts rect.mark");
            bar.scrollIntoView({block: "center", behavior: "instant"});
            const box = bar.getBoundingClientRect();
            return [box.x + box.width / 2, box.y + box.height / 2];
        })()"""
    )
    page.point(x, y)
    assert _tip(page).startswith("outbound, answered: ")
    page.point(5, 5)
    assert _tip(page) == ""


def test_tables_are_sorted(show):
    page = show()
    read = """(column => [...document.querySelectorAll("#verdicts tbody tr")]
        .map(row => row.cells[column].textContent))"""
    click = 'document.querySelectorAll("#verdicts th")[%d].firstChild.click()'
    order = '[...document.querySelectorAll("#verdicts th")].map(th => th.ariaSort)'
    flows = [int(text.replace(",", "")) for text in page.evaluate(f"{read}(3)")]
    assert flows != sorted(flows, reverse=True)
    page.evaluate(click % 3)
    sorted_flows = [int(text.replace(",", "")) for text in page.evaluate(f"{read}(3)")]
    assert sorted_flows == sorted(flows, reverse=True)
    assert page.evaluate(order)[3] == "descending"
    page.evaluate(click % 3)
    again = [int(text.replace(",", "")) for text in page.evaluate(f"{read}(3)")]
    assert again == sorted(flows)
    page.evaluate(click % 2)
    verdicts = page.evaluate(f"{read}(2)")
    assert verdicts == sorted(verdicts)
    assert page.evaluate(order)[3] is None


def test_addresses_are_sorted_as_numbers_and_nothing_comes_last(show):
    page = show()
    names = page.evaluate(
        """(() => {
            const table = document.querySelector("#skew .sheets table");
            table.querySelector("th").firstChild.click();
            return [...table.tBodies[0].rows].map(row => row.cells[0].textContent);
        })()"""
    )
    fours = [name for name in names if ":" not in name]
    assert len(fours) > 20
    assert fours == sorted(fours, key=lambda name: [int(part) for part in name.split(".")])
    ports = page.evaluate(
        """(() => {
            const table = [...document.querySelectorAll("#host_pairs table")].at(-1);
            const th = [...table.querySelectorAll("th")].findIndex(h => /port/.test(h.textContent));
            const read = () => [...table.tBodies[0].rows].map(row => row.cells[th].dataset.key);
            table.tBodies[0].rows[0].cells[th].dataset.key = "";
            return [0, 1].map(() => {
                table.querySelectorAll("th")[th].firstChild.click();
                return read();
            });
        })()"""
    )
    assert [order[-1] for order in ports] == ["", ""]
    assert ports[0][:-1] == ports[1][-2::-1]


def test_tables_are_filtered(show):
    page = show()
    shown = page.evaluate(
        """(() => {
            const input = document.querySelector("#verdicts .filter input");
            input.value = "RECOVERED";
            input.dispatchEvent(new Event("input"));
            const rows = [...document.querySelectorAll("#verdicts tbody tr")];
            return rows.filter(row => row.checkVisibility()).map(row => row.cells[2].textContent);
        })()"""
    )
    assert set(shown) == {"recovered"}
    assert page.evaluate("document.querySelector('#verdicts .filter span').textContent") == (
        f"{len(shown)} of {page.evaluate('document.querySelectorAll(`#verdicts tbody tr`).length')}"
        " rows"
    )


def test_it_can_be_read_without_its_script(show):
    page = show(script=False)
    assert page.evaluate("document.querySelectorAll('.filter, th [role]').length") == 0
    hidden = "[...document.querySelectorAll('button')].every(each => each.hidden)"
    assert page.evaluate(hidden)
    told = page.evaluate("document.querySelectorAll('.mark > title').length")
    assert told == page.evaluate("document.querySelectorAll('.mark').length") > 500
    assert page.evaluate("document.querySelector('.finding').checkVisibility()")


def test_it_can_be_printed(show):
    page = show(dark=True)
    paper = page.pdf()
    assert paper.startswith(b"%PDF-")
    page.call("Emulation.setEmulatedMedia", media="print")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert not page.evaluate("document.querySelector('nav').checkVisibility()")
    assert page.evaluate(
        """[...document.querySelectorAll("svg")].every(svg => svg.checkVisibility())"""
    )
    # What is folded on the screen is open on paper.
    assert page.evaluate(
        """[...document.querySelectorAll("details.note p")]
            .every(note => note.getBoundingClientRect().height > 0)"""
    )
    assert page.evaluate("document.querySelectorAll('details[open]').length") == 0


def test_the_report_can_be_taken_out_of_it(show, busy_report):
    page = show()
    taken = page.evaluate("JSON.parse(document.getElementById('report').textContent)")
    assert taken == busy_report
    page.evaluate("document.getElementById('save').click()")
    assert page.complaints() == []
