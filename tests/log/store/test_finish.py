import threading

import pytest

from chamaleonet.log.store import finish as module
from chamaleonet.log.store.finish import Finisher, finish
from chamaleonet.log.store.layout import make_folders, path_of
from tests.log.build import START
from tests.log.store.build import complete

LINES = b'{"number":1}\n{"number":2}\n'


@pytest.fixture(params=[".events.json", ".events.json.zst"])
def partial(request, tmp_path):
    path = path_of(START, request.param) + ".partial"
    make_folders((tmp_path / path).parent)
    (tmp_path / path).write_bytes(LINES + b"not committed")
    return path


def test_a_file_is_finished_once(tmp_path, partial):
    for _ in range(2):
        finish(tmp_path, partial, len(LINES))
        [path] = (path for path in tmp_path.rglob("*") if path.is_file())
        assert path == tmp_path / partial.removesuffix(".partial")


def test_what_fails_leaves_nothing_behind_and_is_tried_again(tmp_path, partial, caplog):
    blocker = tmp_path / partial.removesuffix(".partial")
    blocker.mkdir()
    finisher = Finisher(tmp_path)
    finisher.add(partial, len(LINES))
    finisher.call(lambda: None).result()
    assert not finisher.collect()
    assert finisher.files == {partial: len(LINES)}
    assert "waits to be finished: " in caplog.text
    assert (tmp_path / partial).exists()
    assert not list(tmp_path.rglob("*.tmp"))

    blocker.rmdir()
    finisher.retry()
    finisher.call(lambda: None).result()
    assert finisher.collect()
    assert finisher.files == {}
    assert complete(tmp_path) == [blocker]
    finisher.close()


def test_closing_tries_once_more(tmp_path, partial):
    blocker = tmp_path / partial.removesuffix(".partial")
    blocker.mkdir()
    finisher = Finisher(tmp_path)
    finisher.add(partial, len(LINES))
    finisher.call(lambda: None).result()
    blocker.rmdir()
    finisher.close()
    assert finisher.files == {}
    assert complete(tmp_path) == [blocker]


def test_the_caller_does_not_wait(tmp_path, partial, monkeypatch):
    go_on = threading.Event()
    monkeypatch.setattr(module, "finish", lambda *_: go_on.wait())
    finisher = Finisher(tmp_path)
    finisher.add(partial, len(LINES))
    assert not finisher.collect()
    assert finisher.files == {partial: len(LINES)}
    go_on.set()
    finisher.close()
    assert finisher.files == {}
