"""Processes that receive packets by an interface and write them: tcpdump, and the packet logger."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from benchmarks.measure import ROOT
from chamaleonet.log.stream.endpoint import Endpoint
from chamaleonet.log.stream.producer import VerdictStream

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

METRICS = "127.0.0.1:9309"
RECEIVER_CPU, SENDER_CPU = 0, 1
RING_KIB = 64 << 10
_STRAY = ("non_ip", "excluded")  # what the system itself sends, such as neighbour discovery


class Received(NamedTuple):
    """What a receiver tells of its packets."""

    packets: int  # that it took and wrote
    dropped: int  # wherever


class Receiver:
    """A process that receives.

    Args:
        command: starts it.
        directory: for what it says.
        call: calls a function where it is to run: in a network namespace, or here.
    """

    def __init__(self, command: list[str], directory: Path, call: Callable[..., Any]) -> None:
        self._call = call
        self._errors = directory / "errors.txt"
        with self._errors.open("wb") as errors:
            self._process = call(
                subprocess.Popen, command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=errors
            )
        with suppress(OSError):  # there is one processor only
            os.sched_setaffinity(self._process.pid, {RECEIVER_CPU})

    def __enter__(self) -> Self:
        deadline = time.monotonic() + 120  # it may have to compile
        while not self.is_ready():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self._process.kill()
                raise RuntimeError(self._errors.read_text())
            time.sleep(0.05)
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()

    def is_ready(self) -> bool:
        raise NotImplementedError

    def finish(self) -> Received:
        """Wait until all is written; may be called once."""
        raise NotImplementedError

    def cpu_seconds(self) -> float:
        """Return how long its threads have run."""
        threads = Path(f"/proc/{self._process.pid}/task").glob("*/schedstat")
        return sum(int(thread.read_text().split()[0]) for thread in threads) / 1e9

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Stop it: what comes waits in its ring."""
        self._process.send_signal(signal.SIGSTOP)
        yield
        self._process.send_signal(signal.SIGCONT)


class Tcpdump(Receiver):
    """``tcpdump -i IF -w F``, with a ring as large as the logger's."""

    def __init__(self, interface: str, directory: Path, call: Callable[..., Any]) -> None:
        path = directory / "tcpdump.pcap"
        command = ["tcpdump", "-Z", "root", "-B", str(RING_KIB), "-i", interface, "-w", str(path)]
        super().__init__(command, directory, call)

    def is_ready(self) -> bool:
        return "listening on" in self._errors.read_text()

    def finish(self) -> Received:
        self._process.send_signal(signal.SIGINT)
        self._process.wait(60)
        said = self._errors.read_text()
        return Received(
            *(
                int(re.search(rf"(\d+) packets? {what}", said)[1])
                for what in ("captured", "dropped by kernel")
            )
        )


class Logger(Receiver):
    """``chamaleonet log``, told of flows by a verdict stream.

    Args:
        interface: where it receives.
        directory: for its files; a new one each time.
        call: as Receiver's.
        addresses: which ones it anonymises.
        key: file with the key.
        flows: FLOW, shape (n,): the erroneous ones.
    """

    def __init__(
        self, interface: str, directory: Path, call: Callable[..., Any], *,
        addresses: str, key: Path, flows: NDArray[Any],
    ) -> None:  # fmt: skip
        endpoint = Endpoint(f"unix:{directory}/verdicts.sock")
        self._stream = VerdictStream(endpoint, lambda: flows)
        self._flows = len(flows)
        path = directory / "logger.yaml"
        path.write_text(
            f"logger: {{interface: {interface}, directory: '{directory}/log', compression: none,"
            f" anonymise: {{addresses: {addresses}, key: '{key}'}}}}\n"
            f"stream: {{address: '{endpoint.address}', spool: null}}\n"
            f"metrics: {{logger: '{METRICS}'}}\n"
        )
        command = [sys.executable, "-m", "chamaleonet", "log", "--config", str(path)]
        super().__init__(command, directory, call)

    def __exit__(self, *_: object) -> None:
        super().__exit__()
        self._stream.close()

    def _scrape(self) -> dict[str, float]:
        """Return our metrics by their text, nothing while they cannot be had."""
        try:
            answer = self._call(urllib.request.urlopen, f"http://{METRICS}/metrics", timeout=5)
        except OSError:
            return {}
        lines = re.findall(r"^chamaleonet_(\S+) (\S+)$", answer.read().decode(), re.MULTILINE)
        return {name: float(value) for name, value in lines}

    def is_ready(self) -> bool:
        return self._scrape().get("logger_known_flows") == self._flows

    def finish(self) -> Received:
        seen = -1.0
        while True:
            now = self._scrape()
            taken = now.get("logger_port_packets_total", -2.0)
            if taken == seen and not now["logger_held_packets"]:
                break
            seen = taken
            time.sleep(0.3)
        dropped = {name: value for name, value in now.items() if name.startswith("dropped_total")}
        lost = sum(
            value for name, value in dropped.items() if not any(each in name for each in _STRAY)
        )
        written = now['logger_packets_total{verdict="unanswered"}']
        assert (
            written + sum(dropped.values()) == taken + dropped['dropped_total{cause="ring_full"}']
        )
        return Received(int(written), int(lost))
