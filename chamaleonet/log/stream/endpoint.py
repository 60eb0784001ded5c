"""Where the verdict stream is spoken: a Unix socket, or TCP with TLS on both ends."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from chamaleonet.errors import UserError
from chamaleonet.tls import client_context, server_context

if TYPE_CHECKING:
    import ssl

    from chamaleonet.tls import Certificates


@dataclass(frozen=True)
class Endpoint:
    """An address of the verdict stream.

    Args:
        address: ``unix:PATH`` or ``tcp:ADDRESS:PORT``, an IPv6 address in brackets.
        tls: needed for ``tcp:``; both ends show a certificate. The producer's must be valid for
            the ADDRESS that the consumer connects to.

    Raises:
        UserError: the address is neither, or is TCP without TLS.
    """

    address: str
    tls: Certificates | None = None
    group: str | None = None

    def __post_init__(self) -> None:
        kind, _, rest = self.address.partition(":")
        if kind not in ("unix", "tcp") or not rest:
            raise UserError(f"{self.address}: not unix:PATH or tcp:ADDRESS:PORT")
        if kind == "tcp":
            if self.tls is None:
                raise UserError(f"{self.address}: a stream over TCP needs TLS")
            host, _, port = rest.rpartition(":")
            if not host or not port.isdecimal() or int(port) > 0xFFFF:
                raise UserError(f"{self.address}: not tcp:ADDRESS:PORT")

    @property
    def path(self) -> Path | None:
        """The Unix socket's path, None for TCP."""
        kind, _, rest = self.address.partition(":")
        return Path(rest) if kind == "unix" else None

    @property
    def host_and_port(self) -> tuple[str, int]:
        """The TCP address."""
        host, _, port = self.address.partition(":")[2].rpartition(":")
        return host.removeprefix("[").removesuffix("]"), int(port)

    def server_context(self) -> ssl.SSLContext | None:
        """Return what connections are encrypted with by the end that listens."""
        return server_context(self.tls) if self.tls else None

    def client_context(self) -> ssl.SSLContext | None:
        """Return what connections are encrypted with by the end that connects."""
        return client_context(self.tls) if self.tls else None

    def listen(self) -> socket.socket:
        """Return a listening socket; a Unix socket is its owner's alone (mode 0600) or a group's.

        The socket's folder is made if it is missing: /run is empty after each boot.

        Raises:
            UserError: another process listens there, or the address cannot be had.
        """
        try:
            if self.path is None:
                host, port = self.host_and_port
                family = socket.AF_INET6 if ":" in host else socket.AF_INET
                return socket.create_server((host, port), family=family)
            self.path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
            _remove_stale(self.path)
            listener = socket.socket(socket.AF_UNIX)
            listener.bind(str(self.path))
            self.path.chmod(0o600)  # before listen: until then nobody can connect
            if self.group is not None:
                shutil.chown(self.path, group=self.group)
                self.path.chmod(0o660)
            listener.listen()
        except LookupError:
            raise UserError(f"{self.address}: there is no group {self.group}") from None
        except OSError as error:
            raise UserError(f"{self.address}: cannot listen: {error.strerror}") from error
        return listener

    def connect(self, timeout: float) -> socket.socket:
        """Return a connected socket, with TLS not yet begun; OSError where nobody listens."""
        if self.path is None:
            return socket.create_connection(self.host_and_port, timeout)
        connection = socket.socket(socket.AF_UNIX)
        try:
            connection.settimeout(timeout)
            connection.connect(str(self.path))
        except OSError:
            connection.close()
            raise
        return connection

    def unlink(self) -> None:
        """Remove the Unix socket's file."""
        if self.path is not None:
            self.path.unlink(missing_ok=True)


def _remove_stale(path: Path) -> None:
    """Remove the socket that a killed process left behind."""
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            raise UserError(f"unix:{path}: cannot listen: the file exists and is no socket")
        with socket.socket(socket.AF_UNIX) as probe:
            try:
                probe.connect(str(path))
            except ConnectionRefusedError:
                path.unlink()
            else:
                raise UserError(f"unix:{path}: cannot listen: another process does already")
