"""Coordination services for tests: a real etcd, and a small API server with Kubernetes' leases."""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import subprocess
import threading
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def running_etcd(directory):
    """Run a server of etcd; yield its address."""
    if shutil.which("etcd") is None:
        pytest.skip("needs etcd")
    address, peer = (f"http://127.0.0.1:{free_port()}" for _ in range(2))
    command = [
        "etcd", "--data-dir", str(directory), "--listen-client-urls", address,
        "--advertise-client-urls", address, "--listen-peer-urls", peer,
        "--initial-advertise-peer-urls", peer, "--initial-cluster", f"default={peer}",
        "--log-level", "error",
    ]  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            deadline = time.monotonic() + 60
            while not _healthy(address):
                assert time.monotonic() < deadline
                time.sleep(0.1)
            yield address
        finally:
            server.kill()


def _healthy(address):
    try:
        with urllib.request.urlopen(f"{address}/health", timeout=5):
            return True
    except OSError:
        return False


class ApiServer:
    """Leases as an API server of Kubernetes keeps them: every write names what it replaces.

    Attributes:
        address: where it listens.
        leases: by name.
        token: the one that is accepted.
        race: called before a write is done.
    """

    PATH = "/apis/coordination.k8s.io/v1/namespaces/default/leases"

    def __init__(self):
        self.leases, self.token = {}, "secret"
        self.race = lambda: None
        self._version = 0
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_):
                pass

            def _reply(self, status, body):
                data = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def _handle(self):
                length = int(self.headers.get("Content-Length") or 0)
                body = json.loads(self.rfile.read(length)) if length else None
                if self.headers.get("Authorization") != f"Bearer {outer.token}":
                    self._reply(401, {"kind": "Status", "reason": "Unauthorized"})
                else:
                    self._reply(*outer.answer(self.command, self.path, body))

            do_GET = do_POST = do_PUT = _handle  # noqa: N815

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def answer(self, method, path, body):
        """Return (status, body), as the API's conventions have it."""
        name = path.removeprefix(self.PATH).removeprefix("/")
        if method == "GET":
            lease = self.leases.get(name)
            return (200, lease) if lease else (404, {"kind": "Status", "reason": "NotFound"})
        race, self.race = self.race, lambda: None
        race()
        name = body["metadata"]["name"]
        held = self.leases.get(name)
        if method == "POST" and held is not None:
            return 409, {"kind": "Status", "reason": "AlreadyExists"}
        if method == "PUT":
            if held is None:
                return 404, {"kind": "Status", "reason": "NotFound"}
            if body["metadata"].get("resourceVersion") != held["metadata"]["resourceVersion"]:
                return 409, {"kind": "Status", "reason": "Conflict"}
        self._version += 1
        metadata = {**body["metadata"], "resourceVersion": str(self._version)}
        self.leases[name] = {**body, "metadata": metadata}
        return (201 if method == "POST" else 200), self.leases[name]

    def close(self):
        self._server.shutdown()
        self._server.server_close()
