"""Runs what a scenario says in the hosts of a network: servers, steps at their times, faults."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from chamaleonet.errors import UserError
from chamaleonet.lab import faults
from chamaleonet.lab.plan import command_of, host_words
from chamaleonet.lab.scenario import SECOND, filled

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from chamaleonet.lab.inventory import Inventory
    from chamaleonet.lab.network import Network
    from chamaleonet.lab.plan import Step
    from chamaleonet.lab.scenario import Fault, Scenario, Server

PROGRAMS = ("mnexec", "nft", "ss")
_READY_SECONDS = 20
_END_SECONDS = 5  # from the request to end until a program is killed


class Player:
    """Plays one scenario in a network.

    Args:
        scenario: what to play.
        steps: its plan.
        inventory: of the network's hosts.
        network: where it happens.
        said: a folder for what programs say.
        place: an empty folder that everybody may read, for programs' files.
        pause: sleeps for so many seconds.

    Attributes:
        latest: ns by which a step started late, at most.
    """

    def __init__(
        self, scenario: Scenario, steps: Sequence[Step], inventory: Inventory, network: Network,
        said: Path, place: Path, pause: Callable[[float], None],
    ) -> None:  # fmt: skip
        self._scenario, self._steps, self._inventory = scenario, steps, inventory
        self._network, self._said, self._place = network, said, place
        self._pause = pause
        self._servers: dict[str, subprocess.Popen[bytes]] = {}
        self._running: list[subprocess.Popen[bytes]] = []
        self._lasting: dict[int, subprocess.Popen[bytes]] = {}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._play, name="player")
        self._error: UserError | None = None
        self._begun = 0
        self.latest = 0

    def start_servers(self) -> None:
        """Start all servers in order, and wait until each is ready.

        Raises:
            UserError: one of them ended or did not get ready; with what it said last.
        """
        for number, server in enumerate(self._scenario.servers):
            name = f"server{number}-{server.host}"
            words = host_words(self._inventory, server.host)
            words |= self._directory(name, server.files, words)
            command = command_of(server.run, words)
            self._servers[name] = process = self._start(name, server.host, command)
            deadline = time.monotonic() + _READY_SECONDS
            while server.ready is not None and not self._listens(server):
                if process.poll() is not None:
                    raise UserError(f"{self._words(name)} ended: {self._last_words(name)}")
                if time.monotonic() > deadline:
                    raise UserError(
                        f"{self._words(name)} does not listen on {server.ready} after"
                        f" {_READY_SECONDS} s: {self._last_words(name)}"
                    )
                self._pause(0.1)

    def _listens(self, server: Server) -> bool:
        protocol, _, port = (server.ready or "").partition("/")
        command = ["ss", "-H", "-l", "-n", f"--{protocol}", f"sport = :{port}"]
        return bool(self._network.run(server.host, command).strip())

    def _words(self, name: str) -> str:
        server = self._scenario.servers[list(self._servers).index(name)]
        return f"{server.host}: {server.run}:"

    def _last_words(self, name: str) -> str:
        said = (self._said / f"{name}.txt").read_text(errors="replace").strip()
        return said.splitlines()[-1] if said else "it said nothing"

    def start(self) -> None:
        """Begin with the traffic; it goes on in a thread of its own."""
        self._begun = time.monotonic_ns()
        self._thread.start()

    def set_lasting_faults(self) -> None:
        """Begin those faults that are always there.

        Raises:
            UserError: nftables refused.
        """
        for number, fault in enumerate(self._scenario.faults):
            if fault.start is None:
                self._begin_fault(number, fault)

    def _begin_fault(self, number: int, fault: Fault) -> None:
        self._nft(fault.at, faults.begin(number, fault, self._inventory))

    def _nft(self, router: str, rules: str) -> None:
        self._network.run(router, ["nft", "-f", "-"], rules)

    def _events(self) -> Iterable[tuple[int, Callable[[], None]]]:
        for number, fault in enumerate(self._scenario.faults):
            if fault.start is not None:
                yield fault.start, partial(self._begin_fault, number, fault)
            if fault.stop is not None:
                yield fault.stop, partial(self._nft, fault.at, faults.end(number))
        for number, step in enumerate(self._steps):
            yield step.at, partial(self._start_step, number, step)
            if step.until is not None:
                yield step.until, partial(self._end_step, number)

    def _play(self) -> None:
        try:
            # Of what has one time, faults are first.
            for at, action in sorted(self._events(), key=lambda event: event[0]):
                due = self._begun + at
                if self._over.wait(max(due - time.monotonic_ns(), 0) / SECOND):
                    return
                self.latest = max(self.latest, time.monotonic_ns() - due)
                action()
        except UserError as error:
            self._error = error
        except Exception as error:  # noqa: BLE001  the thread has nobody else to tell
            self._error = UserError(f"playing the scenario: {error}")

    def _start_step(self, number: int, step: Step) -> None:
        self._running = [each for each in self._running if each.poll() is None]
        command: Sequence[str] = step.command
        if step.files or any("{directory}" in word for word in command):
            directory = self._directory(f"step{number}", step.files, {})
            command = [filled(word, directory) for word in command]
        process = self._start(step.traffic, step.host, command)
        self._running.append(process)
        if step.until is not None:
            self._lasting[number] = process

    def _end_step(self, number: int) -> None:
        process = self._lasting.pop(number)
        if process.poll() is None:
            _send(process, signal.SIGTERM)

    def _start(self, name: str, host: str, command: Sequence[str]) -> subprocess.Popen[bytes]:
        with (self._said / f"{name}.txt").open("ab") as said:
            try:
                return self._network.start(host, command, stdout=said, stderr=said)
            except OSError as error:
                raise UserError(f"{host}: {command[0]}: {error.strerror}") from None

    def _directory(
        self, name: str, files: Mapping[str, str], words: Mapping[str, str]
    ) -> dict[str, str]:
        """Make a folder of a program's own with files in it; return the word for it."""
        path = self._place / name
        path.mkdir(mode=0o755)
        directory = {"directory": str(path)}
        for file, text in files.items():
            (path / file).write_text(filled(text, {**words, **directory}))
        return directory

    def check(self) -> None:
        """Make sure that playing goes on.

        Raises:
            UserError: what went wrong.
        """
        if self._error is not None:
            raise self._error

    def stop(self) -> list[str]:
        """End all programs that still run, clients first.

        Returns:
            What is to be said of servers that had ended before.
        """
        self._over.set()
        if self._thread.is_alive():
            self._thread.join()
        _end(self._running)
        gone = [
            f"{self._words(name)} ended before ({process.returncode}): {self._last_words(name)}"
            for name, process in self._servers.items()
            if process.poll()
        ]
        _end(self._servers.values())
        self._servers.clear()
        return gone


def _end(processes: Iterable[subprocess.Popen[bytes]]) -> None:
    """End process groups that we have started: ask first."""
    running = [process for process in processes if process.poll() is None]
    for process in running:
        _send(process, signal.SIGTERM)
    deadline = time.monotonic() + _END_SECONDS
    for process in running:
        try:
            process.wait(max(deadline - time.monotonic(), 0))
        except subprocess.TimeoutExpired:
            _send(process, signal.SIGKILL)
            process.wait()


def _send(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    """Send a signal to a program that still is our child, and to its own children."""
    with suppress(ProcessLookupError):
        if os.getpgid(process.pid) == process.pid:
            os.killpg(process.pid, number)
        else:  # it has only just begun
            process.send_signal(number)
