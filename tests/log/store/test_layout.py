import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chamaleonet.log.store.kinds import KINDS
from chamaleonet.log.store.layout import Stage, begin, parse, path_of, remove_empty, scan
from tests.log.build import START

MIDNIGHT = 1_798_761_600 * 10**9  # 2027-01-01


def test_a_path_tells_the_time_in_utc():
    assert path_of(MIDNIGHT - 1, ".pcapng") == (
        "day=2026-12-31/hour=23/chamaleonet-20261231T235959.999Z.pcapng"
    )
    assert path_of(MIDNIGHT + 10**6, ".flows.parquet") == (
        "day=2027-01-01/hour=00/chamaleonet-20270101T000000.001Z.flows.parquet"
    )


@given(st.integers(0, 2**62), st.sampled_from(sorted(KINDS)), st.sampled_from(Stage))
def test_what_is_written_as_a_path_is_read_back(now, suffix, stage):
    path = path_of(now, suffix) + stage.value
    name = parse(path)
    assert (name.path, name.suffix, name.stage) == (path, suffix, stage)
    assert path_of(now + 10**6, suffix) > path_of(now, suffix)


@pytest.mark.parametrize(
    "path",
    [
        "",
        "chamaleonet-20261231T235959.999Z.pcapng",
        "day=2026-12-31/chamaleonet-20261231T235959.999Z.pcapng",
        "day=2026-12-31/hour=23/chamaleonet-20261231T235959.999Z",
        "day=2026-12-31/hour=23/chamaleonet-20261231T235959.999Z.partial",
        "day=2026-12-31/hour=23/chamaleonet-20261231T235959.999Z.txt",
        "day=2026-12-31/hour=23/chamaleonet-20261231T235959.999Z.pcapng.partial.partial",
        "day=2026-12-31/hour=23/chamaleonet-20261231T235959.999Z.pcapng\n",
        "day=2026-12-31/hour=23/other-20261231T235959.999Z.pcapng",
        "../day=2026-12-31/hour=23/chamaleonet-20261231T235959.999Z.pcapng",
    ],
)
def test_other_paths_are_not_the_stores(path):
    assert parse(path) is None


def test_no_two_files_have_one_name(tmp_path):
    for n in range(3):
        path, descriptor = begin(tmp_path, ".pcapng", START)
        os.close(descriptor)
        assert path.endswith(f"141320.00{2 * n}Z.pcapng.partial")
        complete = tmp_path / path_of(START + (2 * n + 1) * 10**6, ".pcapng")
        complete.touch()
    assert len(list(scan(tmp_path))) == 6


def test_the_end_of_an_hour_is_no_obstacle(tmp_path):
    (tmp_path / path_of(MIDNIGHT - 1, ".pcapng")).parent.mkdir(parents=True)
    (tmp_path / path_of(MIDNIGHT - 1, ".pcapng")).touch()
    path, descriptor = begin(tmp_path, ".pcapng", MIDNIGHT - 1)
    os.close(descriptor)
    assert path == path_of(MIDNIGHT, ".pcapng") + ".partial"


def test_only_empty_folders_are_removed(tmp_path):
    paths = [path_of(START, ".pcapng"), path_of(START + 3600 * 10**9, ".pcapng")]
    for path in paths:
        (tmp_path / path).parent.mkdir(parents=True)
    (tmp_path / paths[1]).touch()
    remove_empty(tmp_path, paths)
    assert [path.name for path in tmp_path.rglob("*")] == [
        "day=2026-09-21",
        "hour=15",
        (tmp_path / paths[1]).name,
    ]
    (tmp_path / paths[1]).unlink()
    remove_empty(tmp_path, paths[1:])
    assert list(tmp_path.iterdir()) == []
