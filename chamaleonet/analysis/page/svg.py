"""SVG elements. Text and attributes are escaped by the writer of XML: no log can make markup."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from markupsafe import Markup

from chamaleonet.analysis.page import words

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element


def add(parent: Element, tag: str, inner: str = "", /, **attributes: float | str) -> Element:
    """Add an element.

    Args:
        parent: where to.
        tag: its name.
        inner: its text.
        attributes: a trailing underscore is left out, others become hyphens.
    """
    named = {
        key.rstrip("_").replace("_", "-"): given if isinstance(given, str) else number(given)
        for key, given in attributes.items()
    }
    element = ET.SubElement(parent, tag, named)
    if inner:
        element.text = words.text(inner)
    return element


def mark(
    parent: Element, tag: str, tip: str, /, class_: str = "", **attributes: float | str
) -> Element:
    """Add an element that stands for a value: it tells ``tip`` when it is pointed at."""
    element = add(parent, tag, class_=f"mark {class_}".strip(), **attributes)
    add(element, "title", tip)
    return element


def drawing(width: float, height: float, label: str) -> Element:
    """Return an empty drawing that the keyboard reaches and that tells what it shows."""
    return ET.Element(
        "svg",
        {
            "viewBox": f"0 0 {number(width)} {number(height)}",
            "role": "img",
            "tabindex": "0",
            "aria-label": words.text(label),
        },
    )


def number(given: float) -> str:
    """Return a coordinate: a hundredth of a pixel is enough."""
    return f"{given:.2f}".rstrip("0").rstrip(".")


def markup(drawing: Element) -> Markup:
    """Return a drawing as part of an HTML page."""
    return Markup(ET.tostring(drawing, encoding="unicode"))  # noqa: S704 - escaped by the writer
