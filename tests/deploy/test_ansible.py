"""The Ansible role: well formed, and what it configures is valid and stays as it is."""

import getpass

import pytest
import yaml

from chamaleonet import config
from tests.deploy.playbook import ANSIBLE, EXAMPLE, ansible, play


def test_the_playbook_can_be_read(tmp_path):
    arguments = ["-i", "inventory.yml", "site.yml", "--syntax-check"]
    status, said = ansible("ansible-playbook", *arguments, home=tmp_path)
    assert status == 0, said


def test_the_linter_is_content(tmp_path):
    arguments = ["--offline", "--profile", "production", "site.yml", "roles"]
    status, said = ansible("ansible-lint", *arguments, home=tmp_path)
    assert status == 0, said


def test_the_examples_configuration_is_valid():
    inventory = yaml.safe_load((ANSIBLE / "inventory.yml").read_text())
    told = inventory["probes"]["vars"]
    settings = config.Config.model_validate(told["chamaleonet_config"])
    (switch,) = settings.switches
    # What ovs-setup makes.
    assert (switch.candidates.interface, switch.candidates.port) == ("cand0", 3)
    assert (settings.logger.interface, switch.logger_port) == ("log0", 4)
    assert f"{switch.dp_id:016x}" in told["chamaleonet_bridge_options"]
    defaults = (ANSIBLE / "roles/chamaleonet/defaults/main.yml").read_text()
    assert settings.stream.group == yaml.safe_load(defaults)["chamaleonet_logger_user"]


@pytest.fixture
def place(tmp_path):
    return {
        "chamaleonet_config_file": str(tmp_path / "chamaleonet.yaml"),
        "chamaleonet_key_file": str(tmp_path / "anonymise.key"),
        "chamaleonet_logger_user": getpass.getuser(),
    }


def test_the_configuration_and_the_key_are_made_once(place, tmp_path):
    assert play("config", tmp_path, **place) == 2
    loaded = config.load(tmp_path / "chamaleonet.yaml")
    assert loaded == config.Config.model_validate(EXAMPLE)
    key = tmp_path / "anonymise.key"
    made = key.read_bytes()
    assert key.stat().st_mode & 0o777 == 0o600
    assert play("config", tmp_path, **place) == 0
    assert key.read_bytes() == made


def test_a_configuration_that_is_wrong_is_not_put_in_place(place, tmp_path):
    said = play("config", tmp_path, **place, chamaleonet_config=EXAMPLE | {"timeout": "soon"})
    assert "timeout" in said
    assert not (tmp_path / "chamaleonet.yaml").exists()
