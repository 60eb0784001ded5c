"""Experiments on a switch really run; what is not a matter of speed is as it must be."""

from __future__ import annotations

from itertools import groupby

import pytest


def test_the_controllers_share_falls_with_the_length_of_flows(rows_of):
    rows = rows_of("controller-share")
    for _, group in groupby(rows, lambda row: row["pipeline"]):
        short, long = group
        assert short["length"] < long["length"]
        assert short["packets"] > long["packets"] > 0
        assert short["bytes"] > long["bytes"] > 0
        for row in (short, long):
            flows = row["sent"] / (0.9 * row["length"] + 0.1 * 3)
            # First packet and first reply of nine in ten, three SYNs of the tenth.
            assert row["packets"] * row["sent"] >= flows * (0.9 * 2 + 0.1 * 3) - 0.5
            assert row["bytes"] < row["packets"]
            assert row["kept"] == pytest.approx(1 - row["packets"])
    assert {row["pipeline"] for row in rows} == {"conntrack", "reactive"}


def test_rules_rise_and_expire(rows_of):
    rows = rows_of("rules-over-time")
    most, static = {}, {}
    for setup, group in groupby(rows, lambda row: (row["pipeline"], row["granularity"])):
        first, *between, last = group
        for row in (first, last):
            assert row["redirect"] == row["bypass"] == 0
        static[setup] = {row["static"] for row in (first, *between, last)}
        most[setup] = {
            kind: max(row[kind] for row in between) for kind in ("redirect", "bypass")
        }  # fmt: skip
    assert all(len(counts) == 1 for counts in static.values())
    failing = {setup: each["redirect"] for setup, each in most.items()}
    assert min(failing.values()) > 0
    assert most["conntrack", None]["bypass"] == 0
    assert 0 < most["reactive", "service"]["bypass"] < most["reactive", "flow"]["bypass"]


def test_rules_are_confirmed_whatever_the_batch(rows_of):
    rows = rows_of("install-rate")
    assert [row["batch"] for row in rows] == [1, 10, 100, 1000, None]
    assert rows[0]["ratio"] == 1
    for row in rows:
        assert row["rate"] > 0
        assert row["rate"] == pytest.approx(row["ratio"] * rows[0]["rate"], rel=0.02)
