"""All checks together: the table, the JSON, the exit status."""

import io
import json
import os
import subprocess
import sys

from rich.console import Console

from chamaleonet.config import Config
from chamaleonet.doctor.check import Verdict
from chamaleonet.doctor.examine import CHECKS, as_json, examine, print_one, worst
from chamaleonet.log.anonymise.keyfile import write_key
from tests.doctor.recorded import DENIED, INLINE, NOT_INSTALLED, Recorded, configured


def verdicts(machine, config=INLINE):
    return {(each.switch, each.check): each.result.verdict for each in examine(machine, config)}


def healthy(tmp_path, machine):
    write_key(tmp_path / "key")
    machine.user = os.geteuid()
    return configured(logger__anonymise__key=str(tmp_path / "key"))


def test_a_healthy_machine_is_healthy(tmp_path):
    machine = Recorded()
    said = list(examine(machine, healthy(tmp_path, machine)))
    assert {each.check for each in said if each.result.verdict is Verdict.SKIPPED} == {
        "queue",
        "certificates",
    }
    assert worst(said) is Verdict.OK
    assert len(said) == len(CHECKS)


def test_each_switch_is_looked_at():
    two = INLINE.model_dump(mode="json")
    two["switches"].append(two["switches"][0] | {"name": "br1", "dp_id": "00000000000000b1"})
    said = verdicts(Recorded(), Config.model_validate(two))
    assert said["br0", "bridge"] is Verdict.OK
    assert said["br1", "bridge"] is Verdict.FAIL
    assert said["br1", "fail mode"] is Verdict.SKIPPED


def test_without_a_configuration_the_machine_is_looked_at():
    said = verdicts(Recorded(), Config())
    assert {switch for switch, _ in said} == {None}


def test_without_root_and_without_open_vswitch_all_else_is_still_looked_at():
    for answer in (DENIED, NOT_INSTALLED):
        machine = Recorded()
        machine.run = lambda *_, answer=answer: answer
        said = verdicts(machine)
        assert said[None, "clock"] is Verdict.OK
        assert said["br0", "rules"] is Verdict.SKIPPED


def test_the_worst_is_what_counts(tmp_path):
    machine = Recorded()
    config = healthy(tmp_path, machine)
    machine.controllers[0]["max_backoff"] = 8000
    assert worst(examine(machine, config)) is Verdict.WARN
    machine.bridges[0]["fail_mode"] = "standalone"
    assert worst(examine(machine, config)) is Verdict.FAIL


def test_a_line_and_what_to_do():
    machine = Recorded()
    machine.bridges[0]["fail_mode"] = "standalone"
    console = Console(file=io.StringIO(), width=40)
    for each in examine(machine, INLINE):
        if each.check in ("protocol", "fail mode"):
            print_one(console, each)
    assert console.file.getvalue() == (
        "ok      br0        protocol        OpenFlow 1.3 is spoken\n"
        "fail    br0        fail mode       standalone: without a controller the bridge drops our"
        " rules and forwards by its own\n"
        "                                   > ovs-vsctl set-fail-mode br0 secure\n"
    )


def test_json():
    machine = Recorded()
    machine.bridges[0]["fail_mode"] = None
    document = json.loads(as_json(list(examine(machine, INLINE))))
    assert document["verdict"] == "fail"
    [fail_mode] = [each for each in document["checks"] if each["check"] == "fail mode"]
    assert (fail_mode["switch"], fail_mode["verdict"]) == ("br0", "fail")
    assert fail_mode["do"] == "ovs-vsctl set-fail-mode br0 secure"
    [python] = [each for each in document["checks"] if each["check"] == "python"]
    assert python == {
        "check": "python", "switch": None, "verdict": "ok", "found": "Python 3.11", "do": None,
    }  # fmt: skip


def test_every_check_has_a_name_of_its_own():
    names = [check.name for check in CHECKS]
    assert len(set(names)) == len(names)


def doctor(*options):
    command = [sys.executable, "-m", "chamaleonet", "doctor", *options]
    return subprocess.run(command, capture_output=True, text=True)


def test_the_command_looks_at_this_machine():
    done = doctor("--json")
    document = json.loads(done.stdout)
    assert done.stderr == ""
    assert done.returncode == (document["verdict"] == "fail")
    by_name = {each["check"]: each["verdict"] for each in document["checks"]}
    assert by_name["python"] == by_name["framework"] == "ok"


def test_a_wrong_configuration_is_the_users_mistake(tmp_path):
    path = tmp_path / "site.yaml"
    path.write_text("timeout: never\n")
    done = doctor("--config", str(path))
    assert done.returncode == 2
    assert done.stderr.startswith(f"chamaleonet: {path}:1: timeout:")
