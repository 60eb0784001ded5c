from __future__ import annotations

import pytest

from chamaleonet.analysis.page import words


@pytest.mark.parametrize(
    ("given", "unit", "read"),
    [
        (None, "share", "–"),  # noqa: RUF001
        (0, "share", "0%"),
        (0.00001, "share", "<0.1%"),
        (0.1234, "share", "12.3%"),
        (0.99999, "share", ">99.9%"),
        (1.0, "share", "100%"),
        (0, "seconds", "0 s"),
        (0.0001, "seconds", "100 µs"),
        (0.02, "seconds", "20 ms"),
        (59.94, "seconds", "59.9 s"),
        (90, "seconds", "1.5 min"),
        (3600, "seconds", "1 h"),
        (1e8, "seconds", "1157 d"),
        ("2026-11-23T10:11:12.123456789Z", "UTC", "2026-11-23 10:11:12"),
        (8080, "port", "8080"),
        (0, "weekday", "Monday"),
        (95, "percent", "95%"),
        (1234567, "", "1,234,567"),
        (0.123456, "", "0.123"),
        (12345.6, "", "12,346"),
        (True, "", "yes"),
        (False, "", "no"),
        (["a", "b"], "", "a, b"),
        ([], "", "–"),  # noqa: RUF001
    ],
)
def test_values_as_people_read_them(given, unit, read):
    assert words.value(given, unit) == read


def test_what_would_hide_or_reorder_text_is_shown():
    assert words.value("a\u202eb\x00c\u200bd\ne") == "a\ufffdb\ufffdc\ufffdd\ufffde"
