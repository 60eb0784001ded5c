"""The machine as checks see it: what commands print, what files hold. Nothing is changed."""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import platform
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from chamaleonet.kernels import images

if TYPE_CHECKING:
    from chamaleonet.config import Endpoint

_COMMAND_SECONDS = 15.0
_HTTP_SECONDS = 3.0
_NOT_FOUND = 127  # as shells have it
_NOT_IN_TIME = 124  # as timeout(1) has it

# struct timex of adjtimex(2), with 64-bit longs: where things are in it, and its size.
_MAXERROR, _STATUS, _TIMEX_BYTES = 24, 40, 208
_STA_UNSYNC = 0x40
_SIOCGIFFLAGS, _IFF_UP = 0x8913, 1


class Answer(NamedTuple):
    """What a command said.

    Attributes:
        status: its exit status; 127 where it is not installed, 124 where it took too long.
        out: standard output.
        err: standard error.
    """

    status: int
    out: str = ""
    err: str = ""

    @property
    def is_installed(self) -> bool:
        """Whether there is such a command."""
        return self.status != _NOT_FOUND


class Text(NamedTuple):
    """An argument that is a file which holds this text, while the command runs."""

    text: str


class Kernels(NamedTuple):
    """Where compiled kernels are kept (None: nowhere), and whether there are some."""

    directory: Path | None
    compiled: bool


class Clock(NamedTuple):
    """Whether something keeps the clock, and by how much it may be wrong (seconds)."""

    is_synchronised: bool
    error: float


class Entry(NamedTuple):
    """A file: its mode (see stat(2)) and its owner."""

    mode: int
    owner: int


class Machine:
    """This machine."""

    @property
    def user(self) -> int:
        """The effective user id."""
        return os.geteuid()

    @property
    def python(self) -> tuple[int, int]:
        """The interpreter's version."""
        return sys.version_info[:2]

    @property
    def processor(self) -> tuple[str, int]:
        """The architecture's name, and how many processors we may use."""
        return platform.machine(), len(os.sched_getaffinity(0))

    def run(self, *command: str | Text) -> Answer:
        """Run a command that changes nothing."""
        with tempfile.TemporaryDirectory(prefix="chamaleonet-") as directory:
            words = []
            for i, word in enumerate(command):
                if isinstance(word, Text):
                    path = Path(directory, str(i))
                    path.write_text(word.text)
                    word = str(path)
                words.append(word)
            try:
                done = subprocess.run(
                    words, capture_output=True, text=True, check=False, timeout=_COMMAND_SECONDS,
                    env=os.environ | {"LC_ALL": "C"}, stdin=subprocess.DEVNULL,
                )  # fmt: skip
            except FileNotFoundError:
                return Answer(_NOT_FOUND, "", f"{words[0]}: not installed")
            except subprocess.TimeoutExpired:
                return Answer(_NOT_IN_TIME, "", f"{words[0]}: no answer")
        return Answer(done.returncode, done.stdout, done.stderr)

    def read(self, path: str) -> str | None:
        """Return a file's text, None where it cannot be read."""
        try:
            return Path(path).read_text(errors="replace")
        except OSError:
            return None

    def entry(self, path: Path) -> Entry | None:
        """Return a file's mode and owner, None where there is none or it cannot be seen."""
        try:
            status = path.stat()
        except OSError:
            return None
        return Entry(status.st_mode, status.st_uid)

    def may_write(self, path: Path) -> bool:
        """Tell whether this user may make files in a folder, or make the folder."""
        return os.access(_existing(path), os.W_OK | os.X_OK)

    def free(self, path: Path) -> int:
        """Return the bytes free where a folder is, or would be."""
        return shutil.disk_usage(_existing(path)).free

    def kernels(self) -> Kernels:
        """Return what there is of compiled kernels."""
        return Kernels(images.directory(), not images.are_missing())

    def clock(self) -> Clock:
        """Return what the system knows of its clock; adjtimex(2)."""
        buffer = ctypes.create_string_buffer(_TIMEX_BYTES)
        ctypes.CDLL(None, use_errno=True).adjtimex(buffer)
        (status,) = struct.unpack_from("@i", buffer, _STATUS)
        (error,) = struct.unpack_from("@q", buffer, _MAXERROR)
        return Clock(not status & _STA_UNSYNC, error / 1e6)

    def clock_offset(self) -> int:
        """Return ns from the monotonic clock to the time of day: what changes it sets the clock."""
        return time.time_ns() - time.monotonic_ns()

    def metrics(self, endpoint: Endpoint) -> str | None:
        """Return what a process of ours exports, None where none answers."""
        url = f"http://{endpoint}/metrics"
        with contextlib.suppress(urllib.error.URLError, OSError, ValueError):
            opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
            with opener.open(url, timeout=_HTTP_SECONDS) as page:
                text: str = page.read().decode(errors="replace")
                return text if "chamaleonet_build_info" in text else None
        return None

    def is_up(self, interface: str) -> bool | None:
        """Tell whether an interface is up, None where there is none; netdevice(7)."""
        request = struct.pack("16s16x8x", interface.encode())
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
            try:
                answer = fcntl.ioctl(any_socket, _SIOCGIFFLAGS, request)
            except OSError:
                return None
        return bool(struct.unpack_from("=H", answer, 16)[0] & _IFF_UP)

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        time.sleep(seconds)


def _existing(path: Path) -> Path:
    """Return a folder, or the nearest one above that exists."""
    path = path.absolute()
    while not path.exists() and path != path.parent:
        path = path.parent
    return path
