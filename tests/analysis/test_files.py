"""Files pruned by their partitions."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from chamaleonet.analysis.files import find
from chamaleonet.errors import UserError


def _time(day, hour=0):
    return datetime(2026, 11, day, hour, tzinfo=UTC)


@pytest.fixture
def log(tmp_path):
    """Return a log of 23 November 22:00 to 24 November 02:00, and one file without a partition."""
    for day, hour in ((23, 22), (23, 23), (24, 0), (24, 1)):
        folder = tmp_path / f"day=2026-11-{day}/hour={hour:02d}"
        folder.mkdir(parents=True)
        for suffix in (".parquet", ".healthy.parquet", ".pcapng", ".parquet.123.partial"):
            (folder / f"chamaleonet-{day}-{hour}{suffix}").touch()
    (tmp_path / "old.parquet").touch()
    return tmp_path


def _names(files):
    return [file.name.removeprefix("chamaleonet-").split(".")[0] for file in files]


def test_all_files(log):
    found = find(log, None, None)
    assert _names(found.flows) == ["23-22", "23-23", "24-0", "24-1", "old"]
    assert _names(found.counters) == ["23-22", "23-23", "24-0", "24-1"]
    assert all(file.name.endswith(".healthy.parquet") for file in found.counters)
    assert found.counted


@pytest.mark.parametrize(
    ("since", "until", "flows", "counters"),
    [
        (_time(24), None, ["24-0", "24-1", "old"], ["24-0", "24-1"]),
        (_time(23, 23), None, ["23-23", "24-0", "24-1", "old"], ["23-23", "24-0", "24-1"]),
        # A flow is logged after its last packet; of one that began on a day the counter may come
        # at any time.
        (None, _time(22, 23), ["23-22", "old"], ["23-22", "23-23", "24-0", "24-1"]),
        (_time(25), None, ["old"], []),
    ],
)
def test_partitions_are_pruned(log, since, until, flows, counters):
    found = find(log, since, until)
    assert _names(found.flows) == flows
    assert _names(found.counters) == counters
    assert found.counted


def test_days_without_hours(tmp_path):
    folder = tmp_path / "day=2026-11-23"
    folder.mkdir()
    (folder / "a.parquet").touch()
    assert len(find(tmp_path, _time(23, 23), None).flows) == 1
    assert not find(tmp_path, _time(24), None).flows


def test_one_file(tmp_path):
    file = tmp_path / "flows.parquet"
    file.touch()
    found = find(file, _time(1), None)
    assert found.flows == [file]
    assert not found.counted


def test_no_log_is_an_error(tmp_path):
    with pytest.raises(UserError, match=r"no \.parquet file in it"):
        find(tmp_path, None, None)
    with pytest.raises(UserError, match="no such file or directory"):
        find(tmp_path / "nowhere", None, None)
    folder = tmp_path / "day=2026-13-01"
    folder.mkdir()
    (folder / "a.parquet").touch()
    with pytest.raises(UserError, match="2026-13-01 is no day"):
        find(tmp_path, None, None)
