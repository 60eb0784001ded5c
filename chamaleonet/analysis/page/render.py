"""The report as one page: HTML, style, script and data in a file that asks nobody for anything."""

from __future__ import annotations

import base64
import hashlib
import json
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from chamaleonet.analysis.page import summary, words
from chamaleonet.analysis.page.sections import sections

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jinja2 import Template

FEW_HOSTS, MOST_HOSTS = 8, 200  # that a finding names at once, and when it is opened

_ICON = (
    "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E"
    "%3Cpath d='M1 9h3l2-6 4 11 2-5h3' fill='none' stroke='%23d55e00' stroke-width='2'/%3E"
    "%3C/svg%3E"
)


def render(report: Mapping[str, Any]) -> str:
    """Return a report as a page.

    Args:
        report: as ``report.build`` makes it and docs/report.schema.json describes it.
    """
    style, script = _file("report.css"), _file("report.js")
    return _template().render(
        policy=_policy(style, script),
        icon=_ICON,
        # Both are files of this package.
        style=Markup(style),  # noqa: S704
        script=Markup(script),  # noqa: S704
        data=_data(report),
        sections=sections(report),
        count=words.count,
        few_hosts=FEW_HOSTS,
        most_hosts=MOST_HOSTS,
        **summary.of(report),
    )


@cache
def _template() -> Template:
    environment = Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined
    )
    environment.filters["prose"] = _prose
    return environment.from_string(_file("report.html.j2"))


def _prose(text: str) -> Markup:
    """Return text with what stands between backquotes as code."""
    code = Markup("<code>{}</code>")
    parts = text.split("`")
    return Markup().join(code.format(part) if n % 2 else part for n, part in enumerate(parts))


def _file(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text("utf-8")


def _policy(style: str, script: str) -> str:
    """Return a Content Security Policy that lets nothing in but what the page was made with."""
    return (
        f"default-src 'none'; style-src '{_hash(style)}'; script-src '{_hash(script)}';"
        " img-src data:; base-uri 'none'; form-action 'none'"
    )


def _hash(source: str) -> str:
    digest = hashlib.sha256(source.encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode()}"


def _data(report: Mapping[str, Any]) -> Markup:
    """Return JSON in which nothing can end the element that holds it."""
    text = json.dumps(report, allow_nan=False, separators=(",", ":"))  # ASCII only
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)  # noqa: S704 - escaped above
