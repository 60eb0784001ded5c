import os
import subprocess

import pytest

from tests.fake_switch import FakeSwitch


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 2 MiB, in memory."""
    if os.geteuid():
        pytest.skip("needs root to mount a file system")
    path = tmp_path / "disk"
    path.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", path])
    if mounted.returncode:
        pytest.skip("cannot mount a file system here")
    yield path
    subprocess.run(["umount", "--lazy", path], check=True)


@pytest.fixture
def connect():
    """Return a function that connects a fake switch to a controller."""
    switches = []

    def connect(controller, **options):
        switches.append(FakeSwitch(controller.address, **options))
        return switches[-1]

    yield connect
    for switch in switches:
        switch.close()
