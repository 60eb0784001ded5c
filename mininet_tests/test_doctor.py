"""The doctor on a real switch: healthy, ill in many ways, and healed by what it says."""

import contextlib
import json
import subprocess
import sys
import threading

import pytest
from scapy.layers.inet import TCP

from chamaleonet.config import Endpoint
from chamaleonet.doctor.machine import Machine
from chamaleonet.log.anonymise.keyfile import write_key
from mininet_tests.harness import (
    CANDIDATE,
    CANDIDATE_PORT,
    LOGGER,
    ROOT,
    Controller,
    Network,
    free_port,
    run,
)
from mininet_tests.scenarios import Ends

SETTINGS = f"pipeline: conntrack, candidates: {{port: {CANDIDATE_PORT}, interface: {CANDIDATE}}}"
# Of these the machine that the tests run on may have its own opinion.
ITS_OWN = {"clock", "clock steps", "backlog", "memory", "disk", "processor", "kernels"}
NOT_ASKED_FOR = {"queue", "certificates"}  # candidates leave by a port, and nothing needs TLS
PORT_1 = "s1-eth1"


class Lab:
    """A network, a controller and a logger."""

    def __init__(self, network, controller):
        self.network, self.controller = network, controller

    def doctor(self, seconds=1, meanwhile=None):
        """Return the exit status, and what each check said: (verdict, found, what to do)."""
        process = subprocess.Popen(
            [
                sys.executable, "-m", "chamaleonet", "doctor", "--json",
                "--config", str(self.controller.config), "--seconds", str(seconds),
            ],
            cwd=ROOT, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        done = threading.Event()
        traffic = threading.Thread(target=self._until, args=(done, meanwhile or (lambda _: None)))
        traffic.start()
        out, _ = process.communicate(timeout=120)
        done.set()
        traffic.join()
        document = json.loads(out)
        said = {
            each["check"]: (each["verdict"], each["found"], each["do"])
            for each in document["checks"]
        }
        return process.returncode, said

    @staticmethod
    def _until(done, meanwhile):
        n = 0
        while not done.wait(0.02):
            meanwhile(n)
            n += 1

    def connect(self, n, *, answered=True):
        """Let a TCP connection begin, as hosts' own stacks would not: by frames."""
        ends = Ends(4, 1 + n % 200)
        port = 2000 + n
        self.network.send("client", ends.frame(ends.client, TCP(sport=port, dport=80, flags="S")))
        if answered:
            reply = TCP(sport=80, dport=port, flags="SA", ack=1)
            self.network.send("server", ends.frame(ends.server, reply))


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    directory = tmp_path_factory.mktemp("doctor")
    with Network("single") as network, contextlib.ExitStack() as stack:
        write_key(directory / "key")
        controller = Controller(
            directory, SETTINGS,
            extra=f"logger: {{interface: {LOGGER}, directory: '{directory}/log',"
            f" anonymise: {{key: '{directory}/key'}}}}\n",
        )  # fmt: skip
        port = free_port()
        text = controller.config.read_text()
        ours = text.replace("metrics: {", f"metrics: {{logger: '127.0.0.1:{port}', ")
        controller.config.write_text(ours)
        stack.enter_context(controller)
        logger = subprocess.Popen(
            [sys.executable, "-m", "chamaleonet", "log", "--config", str(controller.config)],
            cwd=ROOT, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        stack.callback(logger.wait)
        stack.callback(logger.terminate)
        # Its own test turns this on; veth has it by default on some kernels.
        run("ethtool", "-K", PORT_1, "gro", "off", check=False)
        run("ethtool", "-K", "s1-eth2", "gro", "off", check=False)
        controller.wait_for(lambda: Machine().metrics(Endpoint("127.0.0.1", port)), 120)
        yield Lab(network, controller)


def ill(said):
    """Return what is not well, and is the switch's or ours: (verdict, found, what to do)."""
    return {
        name: told
        for name, told in said.items()
        if told[0] != "ok" and name not in ITS_OWN | NOT_ASKED_FOR
    }


def test_a_healthy_switch_is_healthy(lab):
    status, said = lab.doctor(5, lab.connect)
    assert ill(said) == {}
    assert status == 0
    assert "packets" in said["traffic"][1]
    assert "first replies in 5 s" in said["directions"][1]
    assert said["losses"][0] == "ok"


def test_each_illness_is_named_and_its_remedy_heals(lab):
    for command in (
        f"ovs-vsctl set interface {CANDIDATE} ofport_request=9",
        f"ovs-vsctl remove port {LOGGER} tag 4094",
        "ovs-vsctl del-fail-mode s1",
        "ovs-vsctl set bridge s1 protocols=OpenFlow13,OpenFlow14",
        f"ethtool -K {PORT_1} gro on",
        "ovs-vsctl clear controller s1 max_backoff",
    ):
        run("sh", "-ec", command)
    lab.network.add_rule("cookie=0x7,table=1,priority=7,udp actions=drop")
    run("ovs-ofctl", "-O", "OpenFlow13", "del-flows", "s1", "table=2,ip")
    status, said = lab.doctor()
    assert status == 1
    remedies = {
        "candidate port": (
            "fail",
            (
                f"ovs-vsctl set interface {CANDIDATE} ofport_request=3"
                f" && ip link set {CANDIDATE} addrgenmode none up"
            ),
        ),
        "logger port": ("fail", f"ovs-vsctl set port {LOGGER} tag=4094"),
        "fail mode": ("fail", "ovs-vsctl set-fail-mode s1 secure"),
        "offloads": ("warn", f"ethtool -K {PORT_1} gro off"),
        "controller": ("warn", "ovs-vsctl set controller s1 max_backoff=1000"),
    }
    for name, (verdict, todo) in remedies.items():
        assert (said[name][0], said[name][2]) == (verdict, todo), name
    assert said["others' rules"][0] == "warn"
    assert "cookie=0x7" in said["others' rules"][1]
    assert said["rules"][0] == "fail"
    assert "missing" in said["rules"][1]
    assert said["rules"][2].endswith(f"chamaleonet run --config {lab.controller.config}")

    for _, todo in remedies.values():
        run("sh", "-ec", todo)
    run("ovs-ofctl", "-O", "OpenFlow13", "del-flows", "s1", "cookie=0x7/-1,table=1,udp")
    lab.controller.kill()
    run("ip", "link", "set", LOGGER, "down")

    def notices():  # the switch tells its database so within some seconds
        said.update(lab.doctor()[1])
        return said["connection"][0] == "fail"

    lab.controller.wait_for(notices, 60)
    assert said["connection"][2] == f"chamaleonet run --config {lab.controller.config}"
    assert said["programs"][0] == "warn"
    assert said["stream"][0] in ("skipped", "ok")  # what a killed process left behind
    assert said["logger port"] == ("fail", f"{LOGGER} is down", f"ip link set {LOGGER} up")
    run("sh", "-ec", said["logger port"][2])
    lab.controller.start()
    status, said = lab.doctor(5, lab.connect)
    assert ill(said) == {}
    assert status == 0


def test_one_direction_alone(lab):
    _, said = lab.doctor(5, lambda n: lab.connect(1000 + n, answered=False))
    assert said["directions"][0] == "fail"
    assert said["directions"][1].startswith("only one direction is seen")
    assert "mirror ports" in said["directions"][2]


SEND = """
import socket
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
    sender.sendto(b"x" * 100, ("192.0.2.1", 9))
"""


def test_checksums_that_are_left_to_hardware(lab):
    client = lab.network.host("client")
    interface = client.defaultIntf().name
    client.cmd(f"ethtool -K {interface} tx on")
    try:
        client.pexec([sys.executable, "-c", SEND])
        # The switch brings its counters' rates up to date every five seconds.
        said = {}

        def fails():
            said.update(lab.doctor()[1])
            return said["checksums"][0] == "fail"

        lab.controller.wait_for(fails, 60)
        assert "ethtool -K IF tx off" in said["checksums"][2]
    finally:
        client.cmd(f"ethtool -K {interface} tx off")
