"""A real Prometheus that scrapes a real controller and logger by the configuration we ship."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Self

import yaml

from chamaleonet.lab.programs import free_ports

ROOT = Path(__file__).parent.parent
PROGRAM = shutil.which("prometheus") or str(ROOT / ".tools" / "prometheus")


class Prometheus:
    """The server, with ``deploy/prometheus`` but for intervals and targets.

    Args:
        directory: for its configuration and its data.
        targets: the ports on 127.0.0.1 to scrape, by job.
    """

    def __init__(self, directory: Path, targets: dict[str, int]) -> None:
        shipped = ROOT / "deploy" / "prometheus"
        config = yaml.safe_load((shipped / "prometheus.yml").read_text())
        config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
        config["rule_files"] = [str(shipped / name) for name in config["rule_files"]]
        for job in config["scrape_configs"]:
            job["static_configs"] = [{"targets": [f"127.0.0.1:{targets[job['job_name']]}"]}]
        path = directory / "prometheus.yml"
        path.write_text(yaml.safe_dump(config))
        (port,) = free_ports(1)
        self._url = f"http://127.0.0.1:{port}/api/v1"
        self._errors = directory / "prometheus.txt"
        self._command = [
            PROGRAM, f"--config.file={path}", f"--storage.tsdb.path={directory / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
        ]  # fmt: skip
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        with self._errors.open("wb") as errors:
            self._process = subprocess.Popen(self._command, stdout=errors, stderr=errors)
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait()

    def _ask(self, path: str, **parameters: str) -> dict:
        query = urllib.parse.urlencode(parameters)
        with urllib.request.urlopen(f"{self._url}/{path}?{query}", timeout=10) as answer:
            return json.load(answer)["data"]

    def values(self, expression: str) -> list[float]:
        """Return the values that an expression has now, one for each series."""
        return [float(each["value"][1]) for each in self._ask("query", query=expression)["result"]]

    def rules(self) -> list[dict]:
        """Return the rules: their names, health and last errors."""
        return [rule for group in self._ask("rules")["groups"] for rule in group["rules"]]

    def wait_for(self, condition, seconds: float = 60.0) -> None:
        deadline = time.monotonic() + seconds
        while True:
            assert self._process.poll() is None, self._errors.read_text()
            try:
                if condition():
                    return
            except OSError:  # it does not answer yet
                pass
            assert time.monotonic() < deadline, f"waited {seconds} s for {condition}"
            time.sleep(0.2)
