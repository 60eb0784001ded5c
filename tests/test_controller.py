"""The controller process, spoken to by a switch made of one socket."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from chamaleonet.switch.rules import COOKIE_PREFIX
from tests.fake_switch import (
    BARRIER_REQUEST,
    MULTIPART_REQUEST,
    FlowTable,
    flow_removed,
    packet_in,
)
from tests.traffic import ethernet, udp

C, S = "10.0.0.1", "192.0.2.9"
KIND = 15 << 40
REDIRECT, BYPASS = 1 << 40, 2 << 40
START = "from chamaleonet.switch import launcher; import pathlib, sys, logging\n"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Process:
    """A controller of its own, and where it listens."""

    def __init__(self, directory, text, *, before="", openflow="", checkpoint="null"):
        self.openflow, self.metrics = free_port(), free_port()
        self.path = directory / "probe.yaml"
        self.path.write_text(
            f"timeout: 300ms\nopenflow: {{listen: '127.0.0.1:{self.openflow}'{openflow}}}\n"
            f"metrics: {{controller: '127.0.0.1:{self.metrics}'}}\nmax_flows: 1000\n"
            f"stream: {{address: 'unix:{directory}/verdicts.sock', spool: null}}\n"
            f"checkpoint: {checkpoint}\n{text}"
        )
        run = f"sys.exit(launcher.run(pathlib.Path({str(self.path)!r})))"
        self.errors = directory / "stderr"
        self.process = subprocess.Popen(
            [sys.executable, "-c", f"{START}logging.basicConfig(level='INFO')\n{before}\n{run}"],
            stderr=self.errors.open("w"),
            cwd=Path(__file__).parent.parent,
            env=os.environ | {"PYTHONWARNINGS": "error::SyntaxWarning"},
        )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()

    @property
    def address(self):
        return "127.0.0.1", self.openflow

    def scrape(self):
        url = f"http://127.0.0.1:{self.metrics}/metrics"
        with urllib.request.urlopen(url, timeout=10) as page:
            return page.read().decode()

    def value(self, name):
        found = re.search(rf"^chamaleonet_{re.escape(name)} (.*)$", self.scrape(), re.MULTILINE)
        return float(found[1])

    def eventually(self, name, value):
        deadline = time.monotonic() + 30
        while self.value(name) != value:
            assert time.monotonic() < deadline, self.scrape()
            time.sleep(0.02)

    def stop(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        return self.process.wait(30)


@pytest.fixture
def start(tmp_path):
    started = []

    def start(pipeline="reactive", **options):
        text = f"switches:\n  - {{dp_id: a1, pipeline: {pipeline}, logger_port: 4}}\n"
        started.append(Process(tmp_path, text, **options))
        return started[-1]

    yield start
    for controller in started:
        controller.process.kill()
        controller.process.wait()


def candidate(packet, generation=0):
    return packet_in(COOKIE_PREFIX | generation << 44, ethernet(packet))


def test_a_flow_is_judged_redirected_recovers_and_is_bypassed(start, connect):
    controller = start()
    switch = connect(controller)
    switch.receive_until(BARRIER_REQUEST, 2)  # installed, cleaned up
    assert {cookie for cookie, _, _ in switch.rules()} == {COOKIE_PREFIX}
    assert switch.roles.requests == [], "there is one controller"
    switch.send(candidate(udp(C, S)))
    switch.receive_until(BARRIER_REQUEST)
    cookie, table, _ = switch.rules()[-1]
    assert (cookie & KIND, table) == (REDIRECT, 1)
    controller.eventually('redirect_rules{dp_id="00000000000000a1"}', 1)
    assert controller.value("verdict_delay_seconds_count") == 1
    switch.send(candidate(udp(S, C, sport=53, dport=40000)))
    switch.receive_until(BARRIER_REQUEST)
    assert [cookie & KIND for cookie, _, _ in switch.rules()[-2:]] == [BYPASS] * 2
    assert [c for c, _, _ in switch.rules(command=4)] == [cookie]
    controller.eventually('redirect_rules{dp_id="00000000000000a1"}', 0)
    labels = 'direction="outbound",protocol="udp",verdict='
    assert controller.value(f'flows_total{{{labels}"unanswered"}}') == 1
    assert controller.value('erroneous_top_host_ratio{direction="outbound"}') == 1
    assert controller.value('erroneous_top_host_ratio{direction="inbound"}') == 0
    assert controller.value('dropped_total{cause="ring_full"}') == 0
    assert controller.value(f'flows_total{{{labels}"recovered"}}') == 1
    assert controller.value('packet_ins_total{dp_id="00000000000000a1"}') == 2
    switch.send(flow_removed(switch.rules()[-1][0]))
    switch.receive_until(BARRIER_REQUEST)
    controller.eventually("tracked_flows", 0)
    assert controller.stop() == 0


PROMTOOL = shutil.which("promtool") or Path(__file__).parent.parent / ".tools/promtool"


@pytest.mark.skipif(not Path(PROMTOOL).exists(), reason="needs promtool")
def test_promtool_finds_no_fault_with_the_metrics(start, connect):
    controller = start()
    switch = connect(controller)
    switch.receive_until(BARRIER_REQUEST, 2)
    switch.send(candidate(udp(C, S)))
    switch.receive_until(BARRIER_REQUEST)
    done = subprocess.run(
        [PROMTOOL, "check", "metrics"], input=controller.scrape(), capture_output=True, text=True
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_refused_rule_is_counted_and_logged_with_its_flow(start, connect):
    controller = start()
    switch = connect(controller)
    switch.receive_until(BARRIER_REQUEST, 2)
    switch.refuse = 1
    switch.send(candidate(udp(C, S)))
    switch.receive_until(BARRIER_REQUEST)
    changes = 'redirect_rule_changes_total{{change="{}",dp_id="00000000000000a1"}}'
    controller.eventually(changes.format("failed"), 1)
    assert controller.value(changes.format("added")) == 0
    controller.stop()
    errors = controller.errors.read_text()
    assert "nw_src=10.0.0.1,nw_dst=192.0.2.9" in errors
    assert "OFPFMFC_TABLE_FULL" in errors


def test_the_budget_is_what_the_switch_says_of_its_tables(start, connect):
    controller = start()
    others = FlowTable()
    for port in range(8):
        others.entries[1, 7, port] = 0x7, 0, 0, b""
    switch = connect(controller, holds=100, table=others)
    switch.receive_until(BARRIER_REQUEST, 2)
    switch.receive_until(MULTIPART_REQUEST)
    # One rule of the table is ours, and static.
    controller.eventually('redirect_budget_rules{dp_id="00000000000000a1"}', 91)


def test_a_switch_that_comes_back_gets_all_rules_again(start, connect):
    controller = start()
    switch = connect(controller)
    switch.receive_until(BARRIER_REQUEST, 2)
    static = len(switch.rules())
    switch.send(candidate(udp(C, S)))
    switch.receive_until(BARRIER_REQUEST)
    switch.close()
    controller.eventually('switch_connected{dp_id="00000000000000a1"}', 0)
    again = connect(controller)
    again.receive_until(BARRIER_REQUEST, 2)
    assert len(again.rules()) == static + 1


def test_a_switch_that_comes_back_with_its_rules_keeps_them(start, connect):
    controller = start()
    switch = connect(controller)
    switch.receive_until(BARRIER_REQUEST, 2)
    switch.send(candidate(udp(C, S)))
    switch.receive_until(BARRIER_REQUEST)
    before = dict(switch.table.entries)
    again = connect(controller, table=switch.table)  # the first connection still seems to live
    again.receive_until(BARRIER_REQUEST)
    assert again.flow_mods == []
    assert again.table.entries == before
    switch.close()
    again.send(candidate(udp(S, C, sport=53, dport=40000)))
    again.receive_until(BARRIER_REQUEST)
    assert len(again.table.entries) == len(before) + 1  # a redirect less, two bypasses more
    outcomes = 'reconciled_rules_total{{dp_id="00000000000000a1",outcome="{}"}}'
    controller.eventually(outcomes.format("kept"), len(before))


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_the_next_controller_goes_on_where_this_one_ended(start, connect, tmp_path, number):
    checkpoint = f"{{directory: '{tmp_path}/checkpoint', interval: 50ms}}"
    controller = start(checkpoint=checkpoint)
    switch = connect(controller)
    switch.receive_until(BARRIER_REQUEST, 2)
    switch.send(candidate(udp(C, S)) + candidate(udp(C, S, sport=7)))
    switch.send(candidate(udp(S, C, sport=53, dport=7)))
    switch.receive_until(BARRIER_REQUEST, 2)  # two bypasses, then a redirect
    before = dict(switch.table.entries)
    controller.stop(number)
    controller = start(checkpoint=checkpoint)
    again = connect(controller, table=switch.table)
    again.receive_until(BARRIER_REQUEST)
    assert again.flow_mods == []
    assert again.table.entries == before
    assert controller.value("restored_flows_total") == 2
    again.send(candidate(udp(S, C, sport=53, dport=40000)))
    again.receive_until(BARRIER_REQUEST)
    assert [body[17] for body in again.flow_mods] == [4, 0, 0]
    assert controller.value("checkpoint_bytes") > 0
    # The removal of a rule that the first controller had installed.
    [bypass] = {cookie for cookie, *_ in before.values() if cookie & KIND == BYPASS}
    again.send(flow_removed(bypass))
    again.receive_until(BARRIER_REQUEST)
    assert len(again.table.entries) == len(before) - 1  # both bypasses of that flow, and a redirect
    controller.eventually("tracked_flows", 1)


def test_a_connection_that_died_without_a_word_is_noticed(start, connect):
    controller = start()
    switch = connect(controller)
    switch.receive_until(BARRIER_REQUEST, 2)
    # It answers no echo request any more.
    controller.eventually('switch_connected{dp_id="00000000000000a1"}', 0)
    again = connect(controller, table=switch.table)
    again.receive_until(BARRIER_REQUEST)
    assert again.flow_mods == []


def test_an_exception_in_a_handler_ends_the_process(start, connect):
    broken = (
        "import eventlet; eventlet.monkey_patch()\n"
        "from chamaleonet.switch import probe\n"
        "def fail(*_): raise ZeroDivisionError('planted')\n"
        "probe.Probe.on_flow_removed = fail"
    )
    controller = start(before=broken)
    switch = connect(controller)
    switch.receive_until(BARRIER_REQUEST, 2)
    switch.send(flow_removed(COOKIE_PREFIX | BYPASS | 1))
    assert controller.process.wait(30) == 1
    errors = controller.errors.read_text()
    assert "ZeroDivisionError: planted" in errors
    assert "on_flow_removed failed: the controller ends" in errors


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_in_order(start, connect, number):
    controller = start()
    connect(controller).receive_until(BARRIER_REQUEST, 2)
    assert controller.stop(number) == 0
    assert "Traceback" not in controller.errors.read_text()


@pytest.mark.parametrize("which", ["openflow", "metrics"])
def test_an_address_in_use_is_the_users_error(start, which):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        controller = start()
        controller.process.kill()
        controller.process.wait()
        text = controller.path.read_text()
        controller.path.write_text(text.replace(str(getattr(controller, which)), str(port)))
        done = subprocess.run(
            controller.process.args, capture_output=True, text=True, cwd=Path.cwd(), timeout=60
        )
    assert done.returncode != 0
    assert f"UserError: {which}: cannot listen on 127.0.0.1:{port}: Address already" in done.stderr
