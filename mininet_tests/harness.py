"""A Mininet network on userspace Open vSwitch, the real controller, and what leaves the switch."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
import socket
import struct
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Self

from chamaleonet.lab import namespace
from chamaleonet.lab.machine import DIST_PACKAGES, mininet, switch_runs
from chamaleonet.log.stream.endpoint import Endpoint
from chamaleonet.log.stream.packing import pack_flow
from chamaleonet.log.stream.reader import VerdictReader

ROOT = Path(__file__).parent.parent
PRIVATE_VLAN = 4094  # ports in a VLAN of their own are not flooded to
CANDIDATE_PORT, LOGGER_PORT = 3, 4
CANDIDATE, LOGGER = "chtcand", "chtlog"
DP_ID = "00000000000000a1"
_OUTGOING = 4  # PACKET_OUTGOING


def missing() -> str | None:
    """Return why these tests cannot run here, or None."""
    if os.geteuid() != 0:
        return "needs root"
    for program in ("ovs-vsctl", "ovs-ofctl", "ethtool"):
        if shutil.which(program) is None:
            return f"needs {program}"
    if not Path(DIST_PACKAGES, "mininet").is_dir():
        return "needs Debian's package mininet"
    return None


def run(*command: str, check: bool = True) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if check and done.returncode:
        raise AssertionError(f"{' '.join(command)}: {done.stderr}")
    return done.stdout


def bridge_exists(name: str) -> bool:
    return subprocess.run(["ovs-vsctl", "br-exists", name], check=False).returncode == 0


def packet_socket(interface: str, pid: int | None = None) -> socket.socket:
    """Return a raw socket on an interface, in the network namespace of a process."""
    with contextlib.nullcontext() if pid is None else namespace.entered(pid):
        raw = namespace.packet_socket(interface)
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 24)
    raw.setblocking(False)
    return raw


def received(raw: socket.socket) -> list[bytes]:
    """Return the frames that came in since the last call."""
    frames = []
    with contextlib.suppress(BlockingIOError):
        while True:
            data, address = raw.recvfrom(65535)
            if address[2] != _OUTGOING:
                frames.append(data)
    return frames


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Network:
    """A switch named s1 with our two ports, and hosts by one of the topologies."""

    def __init__(self, topology: str) -> None:
        Mininet = mininet().net.Mininet  # noqa: N806

        from topologies import fed, single

        topo = (single.topos | fed.topos)[topology](datapath="user")
        assert switch_runs()
        self._net = Mininet(topo=topo, controller=None)
        self.sockets: dict[str, socket.socket] = {}

    def __enter__(self) -> Self:
        try:
            for host in self._net.hosts:
                self.sockets[host.name] = packet_socket(host.defaultIntf().name, host.pid)
            self._net.start()
            for port, interface in ((CANDIDATE_PORT, CANDIDATE), (LOGGER_PORT, LOGGER)):
                run(
                    "ovs-vsctl", "add-port", "s1", interface, f"tag={PRIVATE_VLAN}", "--",
                    "set", "interface", interface, "type=internal", f"ofport_request={port}",
                )  # fmt: skip
                run("ip", "link", "set", interface, "addrgenmode", "none")
                run("ip", "link", "set", interface, "up")
                self.sockets[interface] = packet_socket(interface)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for raw in self.sockets.values():
            raw.close()
        for interface in (CANDIDATE, LOGGER):
            run("ovs-vsctl", "--if-exists", "del-port", "s1", interface, check=False)
        self._net.stop()

    def host(self, name: str):
        return self._net[name]

    def send(self, host: str, *frames: bytes) -> None:
        for frame in frames:
            self.sockets[host].send(frame)

    def set_link(self, host: str, up: bool) -> None:
        """Plug a host's cable in, or out."""
        self._net.configLinkStatus("s1", host, "up" if up else "down")

    def received(self, name: str) -> list[bytes]:
        return received(self.sockets[name])

    def add_rule(self, rule: str) -> None:
        run("ovs-ofctl", "--protocols=OpenFlow13", "add-flow", "s1", rule)

    def differences(self, file: Path) -> str:
        """Return how the switch's rules differ from those of a file, regardless of cookies."""
        protocol = "--protocols=OpenFlow13"
        return run("ovs-ofctl", protocol, "diff-flows", "s1", str(file), check=False)

    def rules(self) -> str:
        return run("ovs-ofctl", "--protocols=OpenFlow13", "--no-stats", "dump-flows", "s1")


class Controller:
    """``chamaleonet run`` and a consumer of its verdict stream.

    Args:
        directory: for its files.
        settings: of the one switch, s1; or of several, by the names of their bridges, datapath ids
            included. A switch that is no bridge connects by itself.
        timeout: of flows.

    Attributes:
        flows: what the stream told, in order: (kind, flow as a map, headers of its first packet).
    """

    def __init__(
        self, directory: Path, settings: str | dict[str, str], *, timeout: str = "500ms",
        tls: str = "", checkpoint: str = "null", stream: str = "", extra: str = "",
        conntrack: str = "",
    ) -> None:  # fmt: skip
        if isinstance(settings, str):
            settings = {"s1": f"dp_id: {DP_ID}, {settings}"}
        self._bridges = [name for name in settings if bridge_exists(name)]
        self.openflow, self.metrics = free_port(), free_port()
        self._scheme = "ssl" if tls else "tcp"
        # Connections of an earlier network may still be tracked: take zones of our own. All bridges
        # here share one tracker, so each needs another.
        self.zone = secrets.randbelow(1 << 15)
        self._socket = f"unix:{directory}/verdicts.sock"
        self._errors = directory / "controller.txt"
        path = directory / "probe.yaml"
        path.write_text(
            f"timeout: {timeout}\nmax_flows: 10000\n"
            "capture: [unanswered, icmp_error, refused, unsolicited]\n"
            f"openflow: {{listen: '127.0.0.1:{self.openflow}'{tls}}}\n"
            f"metrics: {{controller: '127.0.0.1:{self.metrics}'}}\n"
            f"stream: {{address: '{self._socket}', spool: null{stream}}}\n"
            f"checkpoint: {checkpoint}\n{extra}"
            "switches:\n"
            + "".join(
                f"  - {{name: {name}, logger_port: {LOGGER_PORT}, {each},"
                f" conntrack: {{zone: {self.zone + at}{conntrack}}}}}\n"
                for at, (name, each) in enumerate(settings.items())
            )
        )
        self.config = path
        self.command = [sys.executable, "-m", "chamaleonet", "run", "--config", str(path)]
        self.environment: dict[str, str] = {}
        self._process: subprocess.Popen[bytes] | None = None
        self._reader: VerdictReader | None = None
        self.flows: list[tuple[str, dict, list[bytes]]] = []

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def start(self) -> None:
        self._process = subprocess.Popen(
            self.command, cwd=ROOT, env=os.environ | self.environment,
            stderr=self._errors.open("ab"), stdout=subprocess.DEVNULL,
        )  # fmt: skip
        for bridge in self._bridges:
            self.connect(bridge)
        # What a flood makes may be read at the end: until then it waits here.
        self._reader = VerdictReader(Endpoint(self._socket), acknowledges=False, capacity=1_000_000)
        self.wait_for(self._ready, 90)

    def connect(self, bridge: str) -> None:
        """Have a bridge connect to it."""
        run("ovs-vsctl", "set-controller", bridge, f"{self._scheme}:127.0.0.1:{self.openflow}")
        run("ovs-vsctl", "set", "controller", bridge, "max_backoff=1000")

    def _ready(self) -> bool:
        said = self._errors.read_text()
        if self._process.poll() is not None:
            raise AssertionError(said)
        return said.count("rules in place") >= len(self._bridges) and self._reader.connected

    @property
    def resident_bytes(self) -> int:
        pages = Path(f"/proc/{self._process.pid}/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGESIZE")

    def kill(self) -> None:
        if self._reader is not None:
            self._reader.close()
            self._reader = None
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
            self._errors.unlink()

    def wait_for(self, condition, seconds: float = 10.0) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                said = self._errors.read_text() if self._errors.exists() else ""
                raise AssertionError(f"waited {seconds} s for {condition}\n{said}")
            time.sleep(0.02)

    def said(self) -> str:
        """Return what it said so far."""
        return self._errors.read_text()

    def scrape(self) -> str:
        url = f"http://127.0.0.1:{self.metrics}/metrics"
        with urllib.request.urlopen(url, timeout=10) as page:
            return page.read().decode()

    def total(self, name: str, **labels: str) -> float:
        """Return the sum of a metric over all labels but the given ones."""
        lines = re.findall(rf"^chamaleonet_{name}(\{{.*\}})? (.*)$", self.scrape(), re.MULTILINE)
        wanted = [f'{label}="{value}"' for label, value in labels.items()]
        return sum(float(value) for text, value in lines if all(each in text for each in wanted))

    def finished(self) -> list[tuple[str, dict, list[bytes]]]:
        """End the controller in order; return all that the stream told until its end."""
        self._process.terminate()
        assert self._process.wait(30) == 0, self._errors.read_text()
        self.wait_for(lambda: not self._reader.connected)
        return self.told()

    def told(self) -> list[tuple[str, dict, list[bytes]]]:
        """Return what the stream has told so far."""
        while not self._reader.messages.empty():
            message = self._reader.messages.get()
            if len(message.flow):
                packets = [
                    bytes(message.data[packet["offset"] : packet["offset"] + packet["length"]])
                    for packet in message.packets
                ]
                self.flows.append((message.kind, pack_flow(message.flow[0]), packets))
        return self.flows


class Logger:
    """A packet logger of the controller's configuration, ready to log."""

    def __init__(self, controller: Controller) -> None:
        command = [sys.executable, "-m", "chamaleonet", "log", "--config", str(controller.config)]
        self._said = controller.config.with_name("logger.txt")
        self._process = subprocess.Popen(command, cwd=ROOT, stderr=self._said.open("wb"))
        # The first start on a machine compiles its kernels.
        controller.wait_for(self._is_connected, 240)

    def _is_connected(self) -> bool:
        assert self._process.poll() is None, self._said.read_text()
        try:
            with urllib.request.urlopen("http://127.0.0.1:9303/metrics", timeout=5) as page:
                return b"chamaleonet_logger_stream_connected 1.0" in page.read()
        except OSError:
            return False

    def stop(self) -> None:
        self._process.terminate()
        assert self._process.wait(60) == 0, self._said.read_text()

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()


def ends_of(frame: bytes) -> tuple[bytes, bytes]:
    """Return the IP addresses of a frame, tagged or not."""
    at = 12
    while frame[at : at + 2] in (b"\x81\x00", b"\x88\xa8"):
        at += 4
    (kind,) = struct.unpack_from("!H", frame, at)
    at += 2
    if kind == 0x0800:
        return frame[at + 12 : at + 16], frame[at + 16 : at + 20]
    if kind == 0x86DD:
        return frame[at + 8 : at + 24], frame[at + 24 : at + 40]
    return b"", b""
