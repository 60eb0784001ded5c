"""Build the Debian package: ChamaleoNet with all that it needs of PyPI, in one file.

    python deploy/debian/build.py [FOLDER]

It holds the very versions that are installed beside the Python that runs this, so those that the
tests ran with, as a virtual environment on Debian's Python of the same version.
"""

from __future__ import annotations

import importlib.metadata
import re
import shutil
import stat
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.requirements import Requirement

from chamaleonet import __version__

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
PYTHON = f"python3.{sys.version_info.minor}"
HOME = "usr/lib/chamaleonet"
PACKAGES = f"{HOME}/lib/{PYTHON}/site-packages"
CONFIG = "etc/chamaleonet/chamaleonet.yaml"
SYSCTL = "etc/sysctl.d/60-chamaleonet.conf"

CONTROL = """\
Package: chamaleonet
Version: {version}
Architecture: {architecture}
Maintainer: The ChamaleoNet authors <root@localhost>
Installed-Size: {size}
Depends: {python}, adduser
Recommends: openvswitch-switch
Section: net
Priority: optional
Description: finds erroneous traffic at OpenFlow switches
 An SDN controller that makes the switch copy flows which get no reply, and
 packets that trigger ICMP errors, to a packet logger.
"""


def needed(name: str, seen: set[str]) -> Iterator[importlib.metadata.Distribution]:
    """Yield what a distribution needs to run, extras left out."""
    key = re.sub("[-_.]+", "-", name).lower()
    if key in seen:
        return
    seen.add(key)
    distribution = importlib.metadata.distribution(name)
    yield distribution
    for line in distribution.requires or ():
        requirement = Requirement(line)
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            yield from needed(requirement.name, seen)


def is_wanted(path: Path) -> bool:
    """Tell whether a file of a distribution is of use at run time."""
    return not path.is_absolute() and ".." not in path.parts and not (
        {"tests", "include"} & set(path.parts[:-1]) or path.suffix in (".pyx", ".pxd", ".h", ".a")
    )  # fmt: skip


def copy_packages(target: Path) -> None:
    """Copy our own package and all that it needs."""
    own, *others = needed("chamaleonet", set())
    for distribution in others:
        for file in distribution.files or ():
            source = Path(distribution.locate_file(file))
            if is_wanted(Path(file)) and source.is_file():
                (target / file).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(source, target / file)  # with its time: the compiled files name it
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "chamaleonet", target / "chamaleonet", ignore=ignored)
    shutil.copytree(ROOT / "topologies", target / "chamaleonet" / "topologies", ignore=ignored)
    subprocess.run(
        [sys.executable, "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash",
         "-s", str(target), "-p", f"/{PACKAGES}", str(target / "chamaleonet")],
        check=True,
    )  # fmt: skip
    information = target / f"chamaleonet-{own.version}.dist-info"
    information.mkdir()
    (information / "METADATA").write_text(own.read_text("METADATA") or "")


def write(path: Path, text: str, mode: int = 0o644) -> None:
    """Write a file, and the folders it lies in."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)


def configuration() -> str:
    """Return the example for an inline switch, with a logger that runs as another user."""
    text = (ROOT / "deploy" / "inline-ovs.yaml").read_text()
    address = "  address: unix:/run/chamaleonet/verdicts.sock\n"
    assert text.count(address) == 1
    return text.replace(address, f"{address}  group: chamaleonet-log\n")


def fill(root: Path) -> None:
    """Lay out all files as they will lie in the system."""
    copy_packages(root / PACKAGES)
    version = sys.version_info
    write(
        root / HOME / "pyvenv.cfg",
        "home = /usr/bin\ninclude-system-site-packages = false\n"
        f"version = {version.major}.{version.minor}.{version.micro}\n",
    )
    (root / HOME / "bin").mkdir()
    (root / HOME / "bin" / "python3").symlink_to(f"/usr/bin/{PYTHON}")
    start = f'#!/bin/sh\nexec /{HOME}/bin/python3 -I -m chamaleonet "$@"\n'
    write(root / "usr/bin/chamaleonet", start, 0o755)
    setup = (ROOT / "deploy" / "ovs-setup").read_text()
    write(root / "usr/sbin/chamaleonet-ovs-setup", setup, 0o755)
    units, systemd = ROOT / "deploy" / "systemd", root / "usr/lib/systemd/system"
    for unit in sorted(units.glob("*.service")):
        write(systemd / unit.name, unit.read_text())
    drop_in = (units / "candidate-port.conf").read_text()  # the configuration below has such a port
    write(systemd / "chamaleonet-controller.service.d/candidate-port.conf", drop_in)
    write(root / CONFIG, configuration())
    write(root / SYSCTL, (ROOT / "deploy" / "sysctl.conf").read_text())
    documents = root / "usr/share/doc/chamaleonet"
    write(documents / "copyright", (ROOT / "LICENSE").read_text())
    for page in (ROOT / "docs").glob("*.md"):
        write(documents / page.name, page.read_text())


def build(folder: Path) -> Path:
    """Build the package in a folder; return its file."""
    architecture = subprocess.run(
        ["dpkg", "--print-architecture"], check=True, capture_output=True, text=True
    ).stdout.strip()
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch, "root")
        fill(root)
        for path in [root, *root.rglob("*")]:
            if not path.is_symlink():
                executable = path.is_dir() or path.stat().st_mode & stat.S_IXUSR
                path.chmod(0o755 if executable else 0o644)
        size = sum(path.lstat().st_size for path in root.rglob("*")) // 1024
        control = CONTROL.format(
            version=__version__, architecture=architecture, size=size, python=PYTHON
        )
        write(root / "DEBIAN/control", control)
        write(root / "DEBIAN/conffiles", f"/{CONFIG}\n/{SYSCTL}\n")
        for script in ("postinst", "prerm", "postrm"):
            write(root / "DEBIAN" / script, (HERE / script).read_text(), 0o755)
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / f"chamaleonet_{__version__}_{architecture}.deb"
        command = ["dpkg-deb", "--root-owner-group", "-Zzstd", "-z3", "--build", str(root)]
        subprocess.run([*command, str(file)], check=True, stdout=subprocess.DEVNULL)
    return file


if __name__ == "__main__":
    print(build(Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "dist")))
