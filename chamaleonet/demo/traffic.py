"""Ordinary tools at work, and the verdict that each of their flows must get, by construction."""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import dataclass
from subprocess import DEVNULL
from typing import TYPE_CHECKING

from chamaleonet.demo.campus import DEAD, DNS, FILTERED, UNREACHABLE, WEB

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator
    from pathlib import Path

    from chamaleonet.demo.campus import Campus

TIMEOUT = 3  # s: what the controller is configured with
_SLOW = TIMEOUT + 1.5  # s that the slow server takes
_PATIENCE = 8  # s: a SYN is repeated after 1, 3 and 7 s
_PAGE_BYTES = 200_000  # so that a healthy flow has as many packets as on the web
LONGEST = _PATIENCE + 1  # s that a command takes at most

# Answers each datagram, but late.
_SLOW_SERVER = f"""
import socket, threading
server = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
server.bind(("::", 4000))
while True:
    threading.Timer({_SLOW}, server.sendto, server.recvfrom(2048)).start()
"""
_SLOW_CLIENT = f"""
import socket, sys
client = socket.socket(socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET, socket.SOCK_DGRAM)
client.settimeout({_PATIENCE})
client.sendto(b"are you there?", (sys.argv[1], 4000))
client.recv(2048)
"""


@dataclass(frozen=True)
class Step:
    """One command on one host: one flow, and what becomes of it."""

    host: str
    command: tuple[str, ...]
    verdict: str


def _curl(address: str, port: int = 80) -> tuple[str, ...]:
    host = f"[{address}]" if ":" in address else address
    url = f"http://{host}:{port}/"
    return ("curl", "-s", "-o", "/dev/null", "--connect-timeout", str(_PATIENCE), url)


def _dig(server: str) -> tuple[str, ...]:
    return ("dig", f"@{server}", "+tries=1", "+timeout=1", "www.example.org")


def _ping(address: str, count: int = 1) -> tuple[str, ...]:
    return ("ping", "-q", "-n", "-c", str(count), "-i", "1", "-W", "1", address)


def round_of_traffic(number: int) -> Iterator[Step]:
    """Yield one round: what healthy hosts do, and each way to fail, in one of the IP versions."""
    which = number % 2
    web, dns = WEB[which], DNS[which]
    for _ in range(3):
        yield Step("c1", _curl(web), "answered")
        yield Step("c2", _dig(dns), "answered")
    yield Step("c3", _ping(web), "answered")
    yield Step("c1", _curl(DEAD[which]), "unanswered")  # a server that is gone
    yield Step("c2", _dig(DEAD[which]), "unanswered")  # a resolver that is gone
    yield Step("c3", _ping(DEAD[which], 6), "unanswered")
    yield Step("c1", _curl(FILTERED[which]), "unanswered")  # a firewall that drops
    yield Step("c2", _curl(UNREACHABLE[which]), "icmp_error")  # a router that says no
    yield Step("c3", _dig(web), "icmp_error")  # no DNS server on that host
    yield Step("c1", _curl(web, 81), "refused")  # no web server on that port
    yield Step("c2", (sys.executable, "-c", _SLOW_CLIENT, web), "recovered")


class Traffic:
    """The servers, and rounds of client commands.

    Args:
        campus: where they run.
        pages: an empty folder for the web server.

    Attributes:
        expected: how many flows must have got which verdict.
    """

    def __init__(self, campus: Campus, pages: Path) -> None:
        self.expected: Counter[str] = Counter()
        self._campus, self._pages = campus, pages
        self._running: list[subprocess.Popen[str]] = []

    def start_servers(self) -> None:
        """Start the web, the DNS and the slow server."""
        (self._pages / "index.html").write_bytes(bytes(_PAGE_BYTES))
        options = ("--bind", "::", "--directory", str(self._pages))
        self._start("web", sys.executable, "-m", "http.server", "80", *options)
        self._start("web", sys.executable, "-c", _SLOW_SERVER)
        self._start(
            "dns", "dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv",
            "--no-hosts", "--pid-file=", "--user=root", f"--address=/example.org/{WEB.v4}",
        )  # fmt: skip

    def start_round(self, number: int) -> None:
        """Start all commands of a round at once; they end by themselves within LONGEST s."""
        for step in round_of_traffic(number):
            self._start(step.host, *step.command)
            self.expected[step.verdict] += 1

    def _start(self, host: str, *command: str) -> None:
        popen = self._campus.host(host).popen
        self._running.append(popen(list(command), stdin=DEVNULL, stdout=DEVNULL, stderr=DEVNULL))

    def stop(self) -> None:
        """End what still runs of what was started here."""
        for process in self._running:
            if process.poll() is None:
                process.terminate()
        for process in self._running:
            process.wait()
