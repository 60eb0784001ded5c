import multiprocessing
import random

import pytest

from tests.log.store.build import LABELS, contents, open_store, seq, unfinished
from tests.log.store.writer import POSITION, write


@pytest.mark.parametrize("compression", ["zstd", "none"])
def test_each_record_is_there_once_after_many_kills(tmp_path, compression):
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.log.store.writer", "chamaleonet.log.arrow"])
    chance = random.Random(compression)
    told = 0
    for life in range(30):
        receive, send = context.Pipe(duplex=False)
        process = context.Process(target=write, args=(tmp_path, life, compression, send))
        process.start()
        send.close()
        for _ in range(chance.randrange(15)):
            [told] = POSITION.unpack(receive.recv_bytes())
        process.kill()
        process.join()
        receive.close()
    store = open_store(tmp_path)
    assert seq(store) >= told > 0
    store.close()
    found = contents(tmp_path)
    for label in LABELS:
        assert sorted(found[label]) == list(range(1, seq(store) + 1))
    assert unfinished(tmp_path) == []
