from ipaddress import ip_network

import pytest

from chamaleonet import config as configuration
from chamaleonet.errors import UserError
from chamaleonet.lab.configure import configured, merged
from chamaleonet.lab.inventory import Inventory
from chamaleonet.lab.probe import Probe
from chamaleonet.lab.scenario import Scenario
from chamaleonet.lab.topology import Topology


def topology(*probes, forward="normal"):
    internal = (ip_network("10.0.0.0/8"), ip_network("2001:db8::/32"))
    return Topology(None, probes, internal, (), forward, Inventory([]))


def scenario(**keys):
    return Scenario.model_validate({"title": "x", "topology": "x", "seconds": 9} | keys)


ONE = topology(Probe("s1", 0xA1))


def test_the_scenarios_keys_are_over_the_labs(tmp_path):
    chosen = scenario(config={"timeout": "1s", "logger": {"events": "eve"}})
    config = configured(chosen, ONE, tmp_path, tmp_path)
    assert config.timeout == 10**9
    assert config.logger.events == "eve"
    assert config.logger.anonymise.addresses == "none"
    assert config.logger.directory == tmp_path / "log"
    assert config.internal == ONE.internal
    assert config.checkpoint is None
    [switch] = config.switches
    assert (switch.name, switch.dp_id, switch.forward) == ("s1", 0xA1, "normal")
    assert switch.candidates.interface == "chcand0"
    assert config.logger.interface == "chlog0"


def test_each_switch_has_the_scenarios_keys_and_a_zone_of_its_own(tmp_path):
    two = topology(Probe("s1", 1, 0), Probe("s2", 2, 1), forward="none")
    config = configured(scenario(switch={"redirect": {"max_rules": "9"}}), two, tmp_path, tmp_path)
    assert [switch.redirect.max_rules for switch in config.switches] == [9, 9]
    assert {switch.forward for switch in config.switches} == {"none"}
    assert len({switch.conntrack.zone for switch in config.switches}) == 2
    assert len({switch.candidates.interface for switch in config.switches}) == 2
    assert config.logger.interface == "chlogs"


def test_a_reactive_pipeline_takes_packet_ins(tmp_path):
    chosen = scenario(pipeline="reactive", switch={"reactive": {"granularity": "service"}})
    [switch] = configured(chosen, ONE, tmp_path, tmp_path).switches
    assert switch.candidates.port is None
    assert switch.reactive.granularity == "service"


def test_what_contradicts_the_labs_own_is_told_with_its_key(tmp_path):
    chosen = scenario(pipeline="reactive", switch={"candidates": {"detectors": "2", "port": "9",
                                                                  "interface": "x"}})  # fmt: skip
    with pytest.raises(UserError, match=r"config: switches\.0: the reactive pipeline takes its"):
        configured(chosen, ONE, tmp_path, tmp_path)


def test_it_can_be_written_and_read_again(tmp_path):
    config = configured(scenario(config={"timeout": "1500ms"}), ONE, tmp_path, tmp_path)
    path = tmp_path / "chamaleonet.yaml"
    path.write_text(configuration.dump(config))
    assert configuration.load(path) == config


def test_sections_are_merged_and_all_else_is_replaced():
    tree = {"a": {"b": 1, "c": 2}, "d": [1, 2], "e": {"f": 1}}
    over = {"a": {"c": 3, "g": 4}, "d": [3], "e": None}
    assert merged(tree, over) == {"a": {"b": 1, "c": 3, "g": 4}, "d": [3], "e": None}
    assert tree["a"] == {"b": 1, "c": 2}
