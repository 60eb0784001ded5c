"""Runs the Ansible role on this machine, in parts."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

ANSIBLE = Path(__file__).parents[2] / "deploy" / "ansible"
BIN = Path(sys.executable).parent
EXAMPLE = {
    "switches": [{"dp_id": "00000000000000a1", "pipeline": "reactive", "logger_port": 4}],
}


def ansible(program, *arguments, home):
    """Run one of Ansible's programs; return its status and what it said."""
    environment = os.environ | {
        "PATH": f"{BIN}:{os.environ['PATH']}", "ANSIBLE_HOME": str(home), "ANSIBLE_NOCOLOR": "1",
        "PYTHONPATH": str(ANSIBLE.parents[1]),
    }  # fmt: skip
    done = subprocess.run(
        [BIN / program, *arguments], cwd=ANSIBLE, env=environment, capture_output=True, text=True
    )
    return done.returncode, done.stdout + done.stderr


def play(tag, directory, *options, **variables):
    """Run a part of the role; return how many things it changed, or what it said if it failed."""
    own = {
        "ansible_connection": "local", "ansible_python_interpreter": sys.executable,
        "ansible_become": False, "chamaleonet_config": EXAMPLE,
        "chamaleonet_services": [],
        "chamaleonet_command": f"{sys.executable} -m chamaleonet",
    }  # fmt: skip
    inventory = directory / "inventory.json"
    inventory.write_text(json.dumps({"probes": {"hosts": {"localhost": own | variables}}}))
    arguments = ["-i", inventory, "site.yml", "--tags", tag, *options]
    status, said = ansible("ansible-playbook", *arguments, home=directory)
    if status:
        return said
    return int(re.search(r"changed=(\d+)", said)[1])
