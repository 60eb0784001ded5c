"""What a chart is drawn into: its size, margins and axes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chamaleonet.analysis.page.svg import add

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

    from chamaleonet.analysis.page.axes import Scale

WIDTH, HEIGHT = 480, 260  # pixels of a drawing that is shown in its own size
LEFT, RIGHT, TOP, BOTTOM = 52, 24, 12, 42  # margins around what is plotted


def horizontal(svg: Element, x: Scale, bottom: float, title: str) -> None:
    """Draw a horizontal axis at ``bottom``."""
    for at, name in x.ticks:
        pixel = x(at)
        add(svg, "line", x1=pixel, x2=pixel, y1=bottom, y2=bottom + 4, class_="axis")
        add(svg, "text", name, x=pixel, y=bottom + 17, class_="tick")
    add(svg, "line", x1=x.start, x2=x.end, y1=bottom, y2=bottom, class_="axis")
    add(svg, "text", title, x=(x.start + x.end) / 2, y=bottom + 36, class_="title")


def vertical(svg: Element, y: Scale, x: Scale, title: str) -> None:
    """Draw a vertical axis with a grid as wide as ``x``."""
    for at, name in y.ticks:
        pixel = y(at)
        add(svg, "line", x1=x.start, x2=x.end, y1=pixel, y2=pixel, class_="grid")
        add(svg, "text", name, x=x.start - 6, y=pixel, class_="row tick")
    middle = (y.start + y.end) / 2
    add(
        svg, "text", title, x=11, y=middle, class_="title",
        transform=f"rotate(-90 11 {middle:.0f})",
    )  # fmt: skip


def marker(svg: Element, x: Scale, y: Scale, at: float, name: str) -> None:
    """Mark a value of ``x`` from top to bottom."""
    pixel = x(at)
    add(svg, "line", x1=pixel, x2=pixel, y1=y.start, y2=y.end, class_="reference")
    side = "start" if pixel < (x.start + x.end) / 2 else "end"
    add(
        svg, "text", name, x=pixel + (5 if side == "start" else -5), y=y.end + 10,
        class_=f"note {side}",
    )  # fmt: skip
