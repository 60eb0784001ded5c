"""The same app on Ryu 4.34, started by our launcher and loaded by name into Ryu's own manager."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mininet_tests.harness import ROOT, Controller, Network
from mininet_tests.scenarios import Ends
from mininet_tests.test_verdicts import TIMEOUT

# Made by `make test`; Ryu cannot share an environment with today's setuptools.
PYTHON = Path(os.environ.get("CHAMALEONET_RYU_PYTHON", ROOT / ".venv-ryu/bin/python"))
MANAGER = (
    "import eventlet.wsgi\n"
    "eventlet.wsgi.ALREADY_HANDLED = object()\n"
    "from ryu.cmd.manager import main\n"
    "main()"
)

pytestmark = pytest.mark.skipif(not PYTHON.exists(), reason="needs Ryu (docs/ryu.md)")


class OnRyu(Controller):
    """A controller in the environment that has Ryu."""

    def __init__(self, directory, *, by_manager):
        super().__init__(directory, "pipeline: reactive")
        own = ["run", "--config", str(self.config)]
        self.command = [str(PYTHON), "-m", "chamaleonet", *own]
        self.environment = {"CHAMALEONET_FRAMEWORK": "ryu"}
        if by_manager:
            where = ["--ofp-listen-host=127.0.0.1", f"--ofp-tcp-listen-port={self.openflow}"]
            self.command = [str(PYTHON), "-c", MANAGER, *where, "chamaleonet.controller"]
            self.environment = {"CHAMALEONET_CONFIG": str(self.config)}


@pytest.mark.parametrize("by_manager", [False, True], ids=["launcher", "manager"])
def test_a_flow_is_redirected_recovers_and_is_bypassed(tmp_path, by_manager):
    from scapy.layers.inet import UDP

    at = Ends(4, 1)
    query = at.frame(at.client, UDP(sport=40000, dport=53) / b"query")
    answer = at.frame(at.server, UDP(sport=53, dport=40000) / b"answer")
    with Network("single") as network, OnRyu(tmp_path, by_manager=by_manager) as controller:
        network.send("client", query)
        controller.wait_for(lambda: "table=1, idle_timeout=60" in network.rules(), TIMEOUT + 10)
        network.send("server", answer)
        controller.wait_for(lambda: network.rules().count("idle_timeout=180") == 2)
        assert "table=1, idle_timeout" not in network.rules()
        controller.wait_for(lambda: len(controller.told()) == 2)
        verdicts = [flow["verdict"] for _, flow, _ in controller.told()]
        assert verdicts == ["unanswered", "recovered"]


def test_ryu_is_what_runs():
    code = "from chamaleonet.switch import framework; print(framework.App.__module__)"
    done = subprocess.run(
        [PYTHON, "-c", code], cwd=ROOT, text=True, capture_output=True,
        env=os.environ | {"CHAMALEONET_FRAMEWORK": "ryu"},
    )  # fmt: skip
    assert done.stdout.strip() == "ryu.base.app_manager", done.stderr
    assert sys.executable != str(PYTHON)
