"""Addresses that must not be talked to, from the operator's block lists.

Three formats: lists of addresses and networks, one a line, with comments after ``#`` or ``;`` (as
FireHOL and Spamhaus publish them); CSV with a column of them; STIX 2.1 bundles.
"""

from __future__ import annotations

import csv
import json
import re
from collections import Counter
from datetime import datetime
from ipaddress import ip_network
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from chamaleonet.analysis.times import nanoseconds
from chamaleonet.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from chamaleonet.units import Network

# Columns of a CSV file that hold addresses, in the order in which they are looked for.
_COLUMNS = (
    "ip", "ip_address", "ipaddress", "address", "addr", "cidr", "network", "prefix", "netblock",
    "dst_ip", "ip_dst", "destination_ip", "indicator", "ioc", "ioc_value", "value", "host",
    "src_ip", "ip_src", "source_ip",
)  # fmt: skip


class Indicator(NamedTuple):
    """An address, or a network of them, that must not be talked to.

    Attributes:
        network: the addresses.
        source: where that is said, and what is said of it: a few words.
        until: ns since 1970 when that ends; None if it does not.
    """

    network: Network
    source: str
    until: int | None = None


class Indicators(NamedTuple):
    """What was read.

    Attributes:
        listed: the indicators.
        skipped: how many entries were left out, by why.
    """

    listed: tuple[Indicator, ...]
    skipped: dict[str, int]


def load(path: Path | str) -> Indicators:
    """Read a block list; the name's suffix tells the format: .csv, .json or .stix, else a list.

    Raises:
        UserError: the file cannot be read, or an entry is no address; the message names the file
            and the line or STIX object.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UserError(f"{path}: not UTF-8 text") from None
    if path.suffix.lower() in (".json", ".stix"):
        return _stix(path, text)
    found = _csv(path, text) if path.suffix.lower() == ".csv" else _lines(path, text)
    return Indicators(tuple(found), {})


def _network(text: str, where: str) -> Network:
    try:
        return ip_network(text.strip(), strict=False)
    except ValueError:
        raise UserError(f"{where}: {text.strip()!r} is no address and no network") from None


def _lines(path: Path, text: str) -> Iterator[Indicator]:
    for number, line in enumerate(text.splitlines(), 1):
        entry, *comment = re.split("[#;]", line, maxsplit=1)
        if entry.strip():
            said = comment[0].strip() if comment else ""
            yield Indicator(
                _network(entry, f"{path}:{number}"),
                f"{path.name}:{number}" + (f" ({said})" if said else ""),
            )


def _csv(path: Path, text: str) -> Iterator[Indicator]:
    reader = csv.reader(text.splitlines(), skipinitialspace=True)
    rows = ((reader.line_num, row) for row in reader if row and not row[0].startswith("#"))
    column = None
    try:
        for line, row in rows:
            if column is None:
                column, is_header = _column(path, line, row)
                if is_header:
                    continue
            if column >= len(row):
                raise UserError(f"{path}:{line}: has no column {column + 1}, of the addresses")
            yield Indicator(_network(row[column], f"{path}:{line}"), f"{path.name}:{line}")
    except csv.Error as error:
        raise UserError(f"{path}:{reader.line_num}: {error}") from None


def _column(path: Path, line: int, row: list[str]) -> tuple[int, bool]:
    """Return which column holds addresses, by its first row, and whether that is the header."""
    names = [cell.strip().lower().replace(" ", "_") for cell in row]
    for name in _COLUMNS:
        if name in names:
            return names.index(name), True
    for index, cell in enumerate(row):
        try:
            ip_network(cell.strip(), strict=False)
        except ValueError:
            continue
        return index, False
    raise UserError(f"{path}:{line}: no column of addresses (call it {_COLUMNS[0]!r})")


# STIX 2.1, section 9: a pattern that one address alone makes true. It is one comparison, or some
# joined by OR; with AND, NOT or qualifiers it means more than an address.
_OBJECT = r"(?:ipv[46]-addr:value|network-traffic:(?:dst|src)_ref\.value)"
_TEXT = r"'([^'\\]*)'"
_COMPARISON = re.compile(
    rf"{_OBJECT}\s*(?:(?:=|ISSUBSET)\s*{_TEXT}|IN\s*\(\s*({_TEXT}(?:\s*,\s*{_TEXT})*)\s*\))"
)
_OR = re.compile(r"\]?\s*\bOR\b\s*\[?")
_WITHOUT_ADDRESS = "indicators of something else than addresses"
_OTHER_LANGUAGE = "indicators in another language than STIX"
_REVOKED = "revoked indicators"
_COMPOUND = "indicators that more than an address must match"


def _stix(path: Path, text: str) -> Indicators:
    try:
        bundle = json.loads(text)
    except ValueError as error:
        raise UserError(f"{path}: no JSON: {error}") from None
    if not isinstance(bundle, dict) or bundle.get("type") != "bundle":
        raise UserError(f"{path}: no STIX bundle")
    objects = bundle.get("objects", [])
    if not isinstance(objects, list):
        raise UserError(f"{path}: objects is no list")
    listed: list[Indicator] = []
    skipped: Counter[str] = Counter()
    for number, item in enumerate(objects):
        where = f"{path}: objects[{number}]"
        if not isinstance(item, dict):
            raise UserError(f"{where}: no object")
        if item.get("type") == "indicator":
            where = f"{path}: {item.get('id', f'objects[{number}]')}"
            found = list(_indicators(where, item, skipped))
            listed += found
    return Indicators(tuple(listed), dict(skipped))


def _indicators(where: str, item: dict[str, Any], skipped: Counter[str]) -> Iterable[Indicator]:
    pattern = item.get("pattern")
    if not isinstance(pattern, str):
        raise UserError(f"{where}: has no pattern")
    if item.get("revoked") is True:
        skipped[_REVOKED] += 1
    elif item.get("pattern_type", "stix") != "stix":
        skipped[_OTHER_LANGUAGE] += 1
    elif not re.search(_OBJECT, pattern):
        skipped[_WITHOUT_ADDRESS] += 1
    elif (addresses := _addresses(pattern)) is None:
        skipped[_COMPOUND] += 1
    else:
        source = str(item.get("name") or item.get("id") or "STIX indicator")
        for address in addresses:
            yield Indicator(_network(address, where), source, _until(where, item))


def _addresses(pattern: str) -> list[str] | None:
    """Return the addresses of a pattern, None if it asks for more than one of them."""
    comparisons = _OR.split(pattern.strip().removeprefix("[").removesuffix("]"))
    found: list[str] = []
    for comparison in comparisons:
        match = _COMPARISON.fullmatch(comparison.strip())
        if match is None:
            return None
        found += [match[1]] if match[1] is not None else re.findall(_TEXT, match[2])
    return found


def _until(where: str, item: dict[str, Any]) -> int | None:
    until = item.get("valid_until")
    if until is None:
        return None
    try:
        time = datetime.fromisoformat(until)
        return nanoseconds(time)
    except (TypeError, ValueError):
        raise UserError(f"{where}: valid_until: {until!r} is no time") from None
