"""Each test has a cache of its own, and a process that calls a kernel for the first time."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import chamaleonet
from chamaleonet.kernels import images
from tests.capture.build import SECOND, Packet, pcap
from tests.traffic import SYN, ethernet, tcp

pytestmark = pytest.mark.skipif(not images._X86_64, reason="there are images on x86-64 only")

PACKAGE = Path(chamaleonet.__file__).parent
SOURCE = """
import sys
import numpy as np
from chamaleonet.kernels import kernel

@kernel
def total(values, start):
    for value in values:
        start += value
    return start

print(total(np.arange(10), {start}), "compiled" if "numba" in sys.modules else "loaded")
"""


class Cache:
    """A cache folder, and a script that uses it."""

    def __init__(self, path):
        self.path = path
        self.script = path / "script.py"
        self.script.write_text(SOURCE.format(start=5))
        self.environment = {
            name: value for name, value in os.environ.items() if not name.startswith("NUMBA_")
        } | {
            "CACHE_DIRECTORY": str(path / "cache"),
            "XDG_CACHE_HOME": str(path / "next"),
            "PYTHONPATH": str(PACKAGE.parent),
        }

    def start(self, *command, **environment):
        return subprocess.Popen(
            [sys.executable, *(command or [self.script])],
            cwd=self.path,
            env=self.environment | environment,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, *command, **environment):
        process = self.start(*command, **environment)
        output, _ = process.communicate(timeout=120)
        assert process.returncode == 0
        return output.strip()

    def images(self):
        return [path for path in self.path.glob("*/chamaleonet/kernels-*/**/*") if path.is_file()]


@pytest.fixture
def cache(tmp_path):
    return Cache(tmp_path)


def test_the_first_process_compiles_and_the_next_loads(cache):
    assert cache.run() == "50 compiled"
    assert len(cache.images()) == 1
    assert cache.run() == "50 loaded"


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[:0],
        lambda data: data[:40],
        lambda data: data[:-1],
        lambda data: data + b"\0",
        lambda data: data[:20] + bytes([data[20] ^ 1]) + data[21:],
        lambda data: data[:100] + bytes([data[100] ^ 1]) + data[101:],
        lambda data: bytes(len(data)),
    ],
    ids=["empty", "header cut", "code cut", "longer", "header", "code", "zeros"],
)
def test_a_damaged_image_is_made_again(cache, damage):
    cache.run()
    (image,) = cache.images()
    whole = image.read_bytes()
    image.write_bytes(damage(whole))
    assert cache.run() == "50 compiled"
    assert image.read_bytes() == whole
    assert cache.run() == "50 loaded"


def test_another_source_is_another_image(cache):
    cache.run()
    cache.script.write_text(SOURCE.format(start=6))
    assert cache.run() == "51 compiled"
    assert len(cache.images()) == 2


def test_processes_that_compile_at_the_same_time(cache):
    processes = [cache.start() for _ in range(3)]
    assert [process.communicate(timeout=120)[0] for process in processes] == ["50 compiled\n"] * 3
    assert len(cache.images()) == 1
    assert cache.run() == "50 loaded"


# To root, every folder is writable.
UNWRITABLE = """
import os, runpy, sys
os.access = lambda *_: False
runpy.run_path(sys.argv[1], run_name="__main__")
"""


def test_a_cache_that_cannot_be_written_is_still_read(cache):
    assert cache.run("-c", UNWRITABLE, cache.script) == "50 compiled"
    assert cache.images() == []
    cache.run()
    assert cache.run("-c", UNWRITABLE, cache.script) == "50 loaded"


def test_without_any_cache(cache):
    nowhere = dict.fromkeys(("CACHE_DIRECTORY", "XDG_CACHE_HOME", "HOME"), os.devnull)
    assert cache.run(**nowhere) == "50 compiled"
    assert cache.images() == []


def test_a_folder_that_others_may_write_is_not_used(cache):
    cache.run()
    (image,) = cache.images()
    image.parent.chmod(0o777)
    assert cache.run() == "50 compiled"
    assert len(cache.images()) == 2
    assert list((cache.path / "next").rglob(image.name))


def test_numbas_own_settings_are_for_numba_itself(cache):
    assert cache.run(NUMBA_BOUNDSCHECK="1") == "50 compiled"
    assert cache.run(NUMBA_BOUNDSCHECK="1") == "50 compiled"
    assert cache.run() == "50 compiled"
    assert cache.run() == "50 loaded"


def test_a_kernel_that_can_have_no_image_is_not_tried_again(cache):
    text = cache.script.read_text()
    cache.script.write_text(text.replace("return start", "return start / 2"))
    first = cache.run()
    files = set(cache.images())
    assert any(path.stat().st_size == images.HEADER_BYTES for path in files)
    assert first == cache.run() == "25.0 compiled"
    assert set(cache.images()) == files


SPEECHLESS = """
import runpy, sys
from chamaleonet.kernels import compiler
compiler._CALL = "what this LLVM does not understand"
runpy.run_path(sys.argv[1], run_name="__main__")
"""


def test_if_llvm_cannot_make_an_image_numba_runs_the_kernel(cache):
    assert cache.run("-c", SPEECHLESS, cache.script) == "50 compiled"
    assert images.HEADER_BYTES in {path.stat().st_size for path in cache.images()}


@pytest.mark.parametrize("room", images._ROOMS)
def test_a_change_in_the_package_is_another_folder(cache, room):
    copy = cache.path / "copy"
    shutil.copytree(PACKAGE, copy / "chamaleonet")
    asked = ["-c", "from chamaleonet.kernels.images import directory; print(directory().name)"]
    before = cache.run(*asked, PYTHONPATH=str(copy))
    assert before == cache.run(*asked)  # wherever the package lies
    source = copy / "chamaleonet" / room / "__init__.py"
    source.write_text(source.read_text() + "\n")
    assert cache.run(*asked, PYTHONPATH=str(copy)) != before


# Every kernel of the package, but those that only the analysis of logs has.
REPLAY = """
import sys
import numpy as np
from chamaleonet.capture import ring
from chamaleonet.cli import main
from chamaleonet.flows.engine import Engine, Settings

capture, packets, flows = sys.argv[1:]
assert main(["replay", "--json", capture, "--write", packets, "--flows", flows]) == 0
assert main(["replay", "--json", packets]) == 0
assert list(Engine(Settings()).advance(1)) == []
columns = [np.zeros(1, dtype) for dtype in (np.int64, np.int32, np.int32, np.int64)]
assert ring._walk_block(np.zeros(4096, np.uint8), 0, 4096, *columns) == 0
print("compiled" if "numba" in sys.modules else "loaded")
"""


def test_a_warm_replay_does_not_import_numba(cache):
    # A cache of its own would cost half a minute, for what other tests have compiled already.
    shared = {"CACHE_DIRECTORY": str(images.directory().parents[1])}
    capture = cache.path / "capture.pcap"
    syn = ethernet(tcp("10.0.0.1", "192.0.2.1", SYN))
    capture.write_bytes(pcap([Packet(syn, len(syn), 0), Packet(syn, len(syn), 4 * SECOND)]))
    asked = "-c", REPLAY, capture, cache.path / "w.pcapng", cache.path / "f.parquet"
    cache.run(*asked, **shared)
    assert cache.run(*asked, **shared).endswith("loaded")
