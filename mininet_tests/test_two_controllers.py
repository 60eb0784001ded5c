"""Two controllers of one switch: the master is killed, and the other one goes on."""

import os
import subprocess
import time
from collections import Counter

import pytest

from chamaleonet.log.stream.endpoint import Endpoint
from chamaleonet.log.stream.reader import VerdictReader
from mininet_tests.failing import (
    OTHERS,
    Traffic,
    logged,
    others,
    redirects,
    settled,
)
from mininet_tests.harness import LOGGER, ROOT, Controller, Logger, Network, run
from tests.election.services import running_etcd

TAKEOVER_SECONDS = 30.0  # on a machine that has other things to do


class Node(Controller):
    """One of two controllers; it may be standing by."""

    def __init__(self, directory, name, election, log):
        self.directory = directory / name
        self.directory.mkdir()
        self.name = name
        other = {"a": "b", "b": "a"}[name]
        super().__init__(
            self.directory,
            "pipeline: reactive",
            checkpoint=f"{{directory: '{self.directory}/checkpoint', interval: 200ms}}",
            stream=f", others: ['unix:{directory}/{other}/verdicts.sock']",
            extra="idle_timeout: 20s\n"
            f"logger: {{interface: {LOGGER}, directory: '{log}', anonymise: {{addresses: none}}}}\n"
            f"high_availability: {{identity: {name}, lease: 5s, {election},"
            f" listen: 'unix:{directory}/{name}/feed', peer: 'unix:{directory}/{other}/feed'}}\n",
        )

    def start(self):
        self._process = subprocess.Popen(
            self.command, cwd=ROOT, env=os.environ, stderr=self._errors.open("ab"),
            stdout=subprocess.DEVNULL,
        )  # fmt: skip
        self._reader = VerdictReader(Endpoint(self._socket), acknowledges=False)
        self.wait_for(self.answers, 240)

    def answers(self):
        assert self._process.poll() is None, self._errors.read_text()
        try:
            return bool(self.scrape())
        except OSError:
            return False

    @property
    def is_master(self):
        return self.total("controller_master") == 1

    @property
    def ended(self):
        return self._process.poll()


def young(network, first):
    """Return what ``redirects`` does, from this port on."""
    return Counter({port: n for port, n in redirects(network).items() if port >= first})


def point_to(*nodes):
    """Let the switch connect to these controllers."""
    command = ["ovs-vsctl"]
    for node in nodes:
        target = f'target="tcp:127.0.0.1:{node.openflow}"'
        command += [f"--id=@{node.name}", "create", "Controller", target, "max_backoff=1000", "--"]
    run(*command, "set", "Bridge", "s1", f"controller=[{','.join(f'@{n.name}' for n in nodes)}]")


@pytest.fixture
def etcd(tmp_path):
    """A server of etcd; return its address."""
    with running_etcd(tmp_path / "etcd") as address:
        yield address


def elections(request, way):
    if way == "priority":
        return {"a": "priority: {value: 2}", "b": "priority: {value: 1}"}
    address = request.getfixturevalue("etcd")
    return dict.fromkeys("ab", f"etcd: {{servers: ['{address}']}}")


@pytest.mark.timeout(600)
@pytest.mark.parametrize("way", ["priority", "etcd"])
def test_the_standby_takes_over_and_nothing_is_lost_or_told_twice(tmp_path, request, way):
    election = elections(request, way)
    log = tmp_path / "log"
    with Network("single") as network:
        a, b = (Node(tmp_path, name, election[name], log) for name in "ab")
        point_to(a, b)
        traffic, logger, told = Traffic(network), None, set()

        def tell(node):
            return {(flow["client_port"], flow["first"]) for _, flow, _ in node.told()}

        with a, b:
            try:
                a.wait_for(lambda: a.is_master or b.is_master, TAKEOVER_SECONDS)
                logger = Logger(a)
                for rule in OTHERS:  # Open vSwitch flushes its tables when it gets a controller
                    network.add_rule(rule)
                foreign = others(network)
                # Whoever is master dies twice, and comes back to find the other one so.
                for _ in range(2):
                    master, standby = (a, b) if a.is_master else (b, a)
                    assert not standby.is_master
                    first = traffic.next  # older flows may end meanwhile
                    traffic.go()
                    master.wait_for(lambda n=first: young(network, n).total() > 10, 30)
                    told |= tell(master)
                    traffic.pause()
                    master.wait_for(lambda m=master: settled(network, m), 30)
                    traffic.go()
                    master.kill()
                    rules = young(network, first)
                    begin = time.monotonic()
                    while not standby.is_master:
                        assert time.monotonic() - begin < TAKEOVER_SECONDS, standby.said()
                        time.sleep(0.05)
                        kept = rules <= redirects(network)
                        assert kept or time.monotonic() - begin > 10, standby.said()
                    print(f"{way}: master after {time.monotonic() - begin:.1f} s")
                    traffic.pause()
                    standby.wait_for(lambda s=standby: settled(network, s), 30)
                    assert others(network) == foreign
                    master.flows.clear()
                    master.start()
                    since = standby.total("takeovers_total")
                    time.sleep(6.5)  # more than the time of a lease
                    assert standby.is_master
                    assert not master.is_master, master.said() + standby.said()
                    assert standby.total("takeovers_total") == since == 1
                    told |= tell(standby)
                traffic.stop()
                master, standby = (a, b) if a.is_master else (b, a)
                master.wait_for(lambda: master.total("tracked_flows") == 0, 60)
                told |= tell(master)
                assert redirects(network) == Counter()
                logger.stop()
            finally:
                traffic.stop()
                if logger is not None:
                    logger.kill()
        times = logged(log)
        assert len(told) > 20
        assert [flow for flow, n in times.items() if n > 1] == []
        assert told - set(times) == set()
