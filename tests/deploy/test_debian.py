"""The Debian package: built, installed in a copy of this system, used, and removed again."""

import os
import re
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from tests.traffic import SYN, ethernet, tcp

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0
    or not shutil.which("dpkg-deb")
    or not Path(f"/usr/bin/python3.{sys.version_info.minor}").exists(),
    reason="needs root, and Debian with a Python of this version",
)

# Runs in a mount namespace of its own; what it changes lies in memory and goes with it.
SCRIPT = """
set -e
mount -t tmpfs tmpfs "$1"
cd "$1"
mkdir upper work root
mount -t overlay overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" root
mount --bind /proc root/proc
mount -t tmpfs tmpfs root/run
cp "$2" root/tmp/package.deb
cp "$3" root/tmp/tiny.pcap
chroot root /bin/sh -ec "$4"
"""
INSIDE = """
cd /
export HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin DEBIAN_FRONTEND=noninteractive
unset PYTHONPATH
say() { echo "== $*"; }
say install
dpkg -i /tmp/package.deb
say version
chamaleonet --version
chamaleonet check /etc/chamaleonet/chamaleonet.yaml | grep group
chamaleonet-ovs-setup --help | head -n 1
say key
stat -c '%a %U %n' /etc/chamaleonet/*
say user
setpriv --reuid chamaleonet-log --regid chamaleonet-log --clear-groups \
    chamaleonet check /etc/chamaleonet/chamaleonet.yaml >/dev/null
say replay
chamaleonet replay --json /tmp/tiny.pcap
say files
dpkg -L chamaleonet | sort >/tmp/files
grep -c . /tmp/files
say again
dpkg -i /tmp/package.deb
say purge
dpkg --purge chamaleonet
sort /tmp/files | while read -r file; do
    [ -d "$file" ] && [ ! -L "$file" ] || [ ! -e "$file" ] || echo "left: $file"
done
for folder in /usr/lib /etc /var/lib /var/cache; do
    [ ! -e "$folder/chamaleonet" ] || echo "left: $folder/chamaleonet"
done
"""


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    folder = tmp_path_factory.mktemp("package")
    done = subprocess.run(
        [sys.executable, ROOT / "deploy/debian/build.py", folder],
        capture_output=True, text=True, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return Path(done.stdout.strip())


@pytest.mark.timeout(600)
def test_it_is_installed_works_and_is_removed_without_a_trace(package, tmp_path):
    capture = tmp_path / "tiny.pcap"
    frame = ethernet(tcp("10.0.0.1", "192.0.2.9", SYN))
    head = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1)
    record = struct.pack("<IIII", 1_700_000_000, 0, len(frame), len(frame))
    capture.write_bytes(head + record + frame)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", SCRIPT, "sh", scratch, package, capture, INSIDE],
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    parts = dict(re.findall(r"^== (\w+)\n(.*?)(?=^== |\Z)", done.stdout, re.DOTALL | re.MULTILINE))
    assert "systemctl enable --now" in parts["install"]
    assert "systemctl enable --now" not in parts["again"]
    assert re.match(r"chamaleonet \d+\.\d+", parts["version"])
    assert "group: chamaleonet-log" in parts["version"]
    assert "usage: ovs-setup" in parts["version"]
    assert "600 chamaleonet-log /etc/chamaleonet/anonymise.key" in parts["key"]
    assert '"unanswered": 0' in parts["replay"]
    assert '"packets": 1' in parts["replay"]
    assert "left:" not in parts["purge"]
