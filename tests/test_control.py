"""`chamaleonet reload` and SIGHUP, at the real process."""

import signal
import socket
import stat
import threading
import time

import pytest

from chamaleonet import cli
from chamaleonet.control import Control, ask
from chamaleonet.errors import UserError
from tests.fake_switch import BARRIER_REQUEST, FakeSwitch
from tests.test_controller import Process

SWITCH = "{{name: {0}, dp_id: {0}, pipeline: reactive, logger_port: 4{1}}}"


class Lab:
    def __init__(self, directory, controller):
        self.directory = directory
        self.controller = controller
        self.path = self.controller.path
        self._head = self.path.read_text().partition("switches:")[0]
        self.switch = FakeSwitch(self.controller.address, 0xA1)
        self.switch.receive_until(BARRIER_REQUEST, 2)

    def write(self, *switches, timeout="300ms"):
        head = self._head.replace("timeout: 300ms", f"timeout: {timeout}")
        lines = [f"  - {SWITCH.format(name, more)}\n" for name, more in switches]
        self.path.write_text(head + "switches:\n" + "".join(lines))

    def said(self, text):
        deadline = time.monotonic() + 30
        while text not in self.controller.errors.read_text():
            assert time.monotonic() < deadline, self.controller.errors.read_text()
            time.sleep(0.02)


@pytest.fixture
def lab(tmp_path):
    with Process(tmp_path, "switches:\n  - " + SWITCH.format("a1", "") + "\n") as controller:
        lab = Lab(tmp_path, controller)
        yield lab
        lab.switch.close()
        assert controller.process.poll() is None
        assert "Traceback" not in controller.errors.read_text()


def test_a_running_controller_follows_its_configuration(lab, capsys):
    def run(*options):
        status = cli.main(["reload", "--config", str(lab.path), *options])
        return status, capsys.readouterr()

    before = len(lab.switch.flow_mods)
    socket_file = lab.directory / "verdicts.control"
    assert stat.S_IMODE(socket_file.stat().st_mode) == 0o600
    assert run()[1].out == "nothing differs\n"

    lab.write(("a1", ", forward: none"))
    plan = (
        "switches[a1].forward: normal -> none\n"
        "# a1, datapath 00000000000000a1\n"
        "+ cookie=0xc4a1000000000000,table=3,priority=0 actions=drop\n"
    )
    assert run("--dry-run") == (0, (plan, ""))
    digest = lab.controller.scrape().partition("chamaleonet_config_info{sha256=")[2][:18]
    assert run() == (0, (plan, ""))
    lab.switch.receive_until(BARRIER_REQUEST)
    assert len(lab.switch.flow_mods) == before + 1  # that rule and no other
    assert digest not in lab.controller.scrape()

    lab.write(("a1", ", forward: normal, snaplen: 96"))
    status, said = run()
    assert (status, said.out) == (2, "")
    assert said.err == ("chamaleonet: needs a restart of the controller: switches[a1].snaplen\n")
    lab.path.write_text("timeout: soon\n")
    assert run()[0] == 2
    assert lab.controller.value('reloads_total{outcome="applied"}') == 1
    assert lab.controller.value('reloads_total{outcome="unchanged"}') == 1
    assert lab.controller.value('reloads_total{outcome="refused"}') == 1

    lab.write(("a1", ", forward: none"), ("b2", ""))
    assert run()[0] == 0
    other = FakeSwitch(lab.controller.address, 0xB2)
    other.receive_until(BARRIER_REQUEST)
    lab.write(("b2", ""), timeout="500ms")
    assert "a1, datapath 00000000000000a1: watched no more" in run()[1].out
    with pytest.raises(ConnectionResetError):
        lab.switch.receive_until(BARRIER_REQUEST)
    assert (
        'dp_id="00000000000000a1"} 1.0'
        not in lab.controller.scrape().partition("switch_connected{")[2].partition("# HELP")[0]
    )
    assert len(lab.switch.flow_mods) == before + 1  # its rules stay
    other.close()


def test_sighup_is_the_same_and_its_outcome_is_logged(lab):
    hang_up = lambda: lab.controller.process.send_signal(signal.SIGHUP)  # noqa: E731
    lab.write(("a1", ""), timeout="400ms")
    hang_up()
    lab.said("reloaded ")
    lab.said("timeout: 300000000 -> 400000000")
    lab.write(("a1", ", logger_port: 9"), timeout="400ms")
    hang_up()
    lab.said("not reloaded: ")
    assert f"{lab.path}:" in lab.controller.errors.read_text()  # given twice, with its line


def test_another_file_is_not_what_it_runs_with(lab, tmp_path, capsys):
    other = tmp_path / "other.yaml"
    other.write_text(lab.path.read_text().replace("timeout: 300ms", "timeout: 1s"))
    assert cli.main(["reload", "--config", str(other), "--dry-run"]) == 0
    assert capsys.readouterr().out == "timeout: 300000000 -> 1000000000\n"
    assert cli.main(["reload", "--config", str(other)]) == 2
    said = capsys.readouterr().err
    assert said == f"chamaleonet: {other}: the controller runs with {lab.path}\n"


def test_where_no_controller_runs_it_is_said(tmp_path, capsys):
    path = tmp_path / "probe.yaml"
    path.write_text(f"stream: {{address: 'unix:{tmp_path}/verdicts.sock'}}\n")
    assert cli.main(["reload", "--config", str(path)]) == 2
    said = f"unix:{tmp_path}/verdicts.control: no controller answers: No such file or directory"
    assert capsys.readouterr().err == f"chamaleonet: {said}\n"


def test_nonsense_at_the_socket_does_no_harm(tmp_path):
    path = tmp_path / "control"

    def answer(question):
        if question == {"command": "fail"}:
            raise UserError("no")
        return question["command"]

    control = Control(path, answer)
    thread = threading.Thread(target=control.serve)
    thread.start()
    try:
        for nonsense in (b"", b"{", b"no\n", b'{"command": 1'):
            with socket.socket(socket.AF_UNIX) as raw:
                raw.connect(str(path))
                raw.sendall(nonsense)
        assert ask(path, {"command": "hello"}) == "hello"
        with pytest.raises(UserError, match=r"^no$"):
            ask(path, {"command": "fail"})
    finally:
        control.close()
        thread.join(10)
    assert not thread.is_alive()
    assert not path.exists()
