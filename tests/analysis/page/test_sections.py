from __future__ import annotations

from chamaleonet.analysis.page.sections import sections
from chamaleonet.analysis.tables import TABLES


def test_every_table_is_a_section_in_its_order(busy_report):
    found = sections(busy_report)
    assert [(section.number, section.name) for section in found] == list(enumerate(TABLES, 1))
    for section in found:
        about = busy_report["about"]["tables"][section.name]
        assert (section.title, section.unit) == (about["title"], about["unit"])
        assert section.vantage == about["vantage"]


def test_every_list_is_shown_or_said_to_be_empty(busy_report):
    from chamaleonet.analysis.parts import lists

    for section in sections(busy_report):
        rows = [rows for _, rows in lists(busy_report["tables"][section.name])]
        assert len(section.grids) + len(section.folded) == sum(map(bool, rows))
        assert len(section.empty) == len(rows) - sum(map(bool, rows))
        captions = [grid.caption for grid in (*section.grids, *section.folded)]
        captions += section.empty
        assert len(set(captions)) == len(captions), section.name


def test_what_is_folded_has_a_chart(busy_report):
    assert all(section.figures for section in sections(busy_report) if section.folded)


def test_numbers_in_groups(busy_report):
    health = next(each for each in sections(busy_report) if each.name == "health")
    assert [group for group, _ in health.numbers] == ["all", "web"]
    labels = [label for label, _ in health.numbers[0][1]]
    assert labels == ["flows", "failed", "health", "correlation of health and volume"]


def test_an_empty_log_says_so_everywhere(busy_report, empty_report):
    silent = [section for section in sections(empty_report) if not section.grids]
    assert len(silent) >= 12
    assert all(section.nothing.startswith("Nothing here: ") for section in silent)
    assert not any(section.figures for section in sections(empty_report))
    assert not any(section.nothing for section in sections(busy_report))
