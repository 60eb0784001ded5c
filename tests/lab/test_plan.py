from collections import Counter

import pytest

from chamaleonet.errors import UserError
from chamaleonet.lab.inventory import Host, Inventory
from chamaleonet.lab.plan import host_words, plan
from chamaleonet.lab.scenario import SECOND, Scenario

INVENTORY = Inventory(
    [
        Host.of(
            "staff",
            [each for n in range(1, 21) for each in (f"10.0.0.{n}/24", f"2001:db8::{n}/64")],
            inside=True,
        ),
        Host.of("www", ["192.0.2.1/24", "2001:db8:1::1/64"], inside=False),
        Host.of("old", ["192.0.2.9/24"], inside=False),
    ]
)
WEB = {
    "name": "web", "clients": "staff:0-9", "servers": "www", "every": "100ms", "jitter": "0.5",
    "run": "curl --interface {client} --local-port {port} http://{server_url}/{number}/{seed}",
}  # fmt: skip
PING = {"name": "ping", "clients": "staff", "servers": "www", "run": "ping -{family} {server}"}


def planned(*traffic, seed=1, patience=0, seconds=10, **more):
    scenario = Scenario.model_validate(
        {"title": "x", "topology": "x", "seconds": seconds, "seed": seed, "traffic": traffic} | more
    )
    return plan(scenario, INVENTORY, patience)


def test_the_same_seed_gives_the_same_plan_and_another_another():
    assert planned(WEB) == planned(WEB)
    assert planned(WEB) != planned(WEB, seed=2)


def test_a_traffic_that_is_added_changes_no_other():
    both = planned(WEB | {"name": "other"}, WEB | {"run": "x {client} {server}"})
    of_web = [step for step in both if step.traffic == "web"]
    assert of_web == planned(WEB | {"run": "x {client} {server}"})


def test_every_step_of_a_host_has_a_port_of_its_own():
    ports = [
        step.command[step.command.index("--local-port") + 1]
        for step in planned(WEB, WEB | {"name": "more"}, seconds=60)
    ]
    assert len(ports) == 1200
    assert len(set(ports)) == len(ports)


def test_steps_are_in_the_order_of_time_and_leave_time_for_the_last_verdict():
    steps = planned(WEB, patience=4 * SECOND)
    assert [step.at for step in steps] == sorted(step.at for step in steps)
    assert len(steps) == 60
    assert steps[-1].at < 6 * SECOND


def test_a_start_is_later_by_its_jitter_at_most():
    for number, step in enumerate(planned(WEB)):
        late = step.at - number * SECOND // 10
        assert 0 <= late <= SECOND // 20


def test_start_and_stop():
    steps = planned(WEB | {"start": "2s", "stop": "3s", "jitter": "0"})
    assert [step.at for step in steps] == [2 * SECOND + n * SECOND // 10 for n in range(10)]


def test_without_every_each_client_runs_it_once():
    steps = planned(PING | {"clients": ["staff:0-2"], "start": "1s", "family": "4"})
    assert [step.at for step in steps] == [SECOND] * 3
    assert {step.command for step in steps} == {("ping", "-4", "192.0.2.1")}


def test_families_take_turns_where_both_ends_have_them():
    steps = planned(PING | {"every": "1s"})
    assert Counter(step.command[1] for step in steps) == {"-4": 5, "-6": 5}
    steps = planned(PING | {"every": "1s", "servers": "old"})
    assert {step.command[1] for step in steps} == {"-4"}
    with pytest.raises(UserError, match="ping: client and server share no IP version"):
        planned(PING | {"clients": "2001:db8::1", "servers": "old"})


def test_an_ipv6_address_has_brackets_in_a_url():
    steps = planned(WEB | {"family": "6"})
    assert steps[0].command[-1] == "http://[2001:db8:1::1]/0/1"


def test_turns_are_taken():
    turning = PING | {"every": "1s", "turns": "true", "clients": "staff:0-4", "run": "x {client}"}
    steps = planned(turning | {"family": "4"})
    assert [step.command[1] for step in steps] == [f"10.0.0.{n}" for n in range(1, 6)] * 2


def test_files_are_filled_in_and_their_directory_later():
    step, *_ = planned(
        PING | {"run": "sh {directory}/x", "files": {"x": "echo {server} {directory} {none}"},
                "family": "4"}
    )  # fmt: skip
    assert step.command == ("sh", "{directory}/x")
    assert step.files == {"x": "echo 192.0.2.1 {directory} {none}"}


def test_what_is_filled_in_is_no_more_words():
    step, *_ = planned(PING | {"run": "echo '{server} and {family}'", "family": "4"})
    assert step.command == ("echo", "192.0.2.1 and 4")


def test_nothing_runs_where_there_is_no_host():
    with pytest.raises(UserError, match="ping: clients: nothing runs at"):
        planned(PING | {"clients": "10.9.9.9"})


def test_what_goes_on_is_ended_in_time_for_its_last_verdict_or_when_it_says():
    [step] = planned(PING, patience=4 * SECOND)
    assert step.until == 6 * SECOND
    [step] = planned(PING | {"stop": "2s"}, patience=4 * SECOND)
    assert step.until == 2 * SECOND
    assert {step.until for step in planned(WEB)} == {None}


def test_a_router_has_no_address_of_its_own():
    assert host_words(INVENTORY, "border").keys() == {"python"}
    assert host_words(INVENTORY, "old")["address4"] == "192.0.2.9"
