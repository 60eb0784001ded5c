"""A run that is as it must be, and each way in which one is not."""

from __future__ import annotations

import numpy as np
import pytest

from chamaleonet.errors import UserError
from chamaleonet.flows.records import Quality, Role
from chamaleonet.flows.transitions import State
from chamaleonet.lab.judge import judge
from tests.lab.recorded import (
    BEGIN,
    ELSEWHERE,
    FINDING,
    GONE,
    HPC,
    INTERNAL,
    INVENTORY,
    PLANT,
    STAFF,
    WWW,
    Run,
    scenario,
)
from tests.traffic import ACK, RST, SECOND, SYN, Record, ethernet, tcp


@pytest.fixture
def run():
    """Three flows of the plant, healthy ones before, between and after, and an ICMP error."""
    run = Run()
    for n in range(3):
        run.healthy(0.5 + n)
        run.unanswered(1.0 + n)
    run.healthy(8, client=HPC, server=WWW)
    return run


def the_plant(result):
    [plant] = result.plants
    return plant


def test_as_it_must_be(run, tmp_path):
    result = run.judged(tmp_path)
    assert (result.ok, result.problems, the_plant(result).problems) == (True, [], [])
    plant = the_plant(result)
    assert plant.model_dump(include={"expected_flows", "judged_right", "captured"}) == {
        "expected_flows": 3, "judged_right": 3, "captured": 6,
    }  # fmt: skip
    assert plant.captured_expected.model_dump() == {"least": 6, "most": 6}
    assert (plant.false_captures, plant.finding_named) == (0, True)
    assert (plant.true_verdicts, plant.live_verdicts) == ({"unanswered": 3}, {"unanswered": 3})
    assert plant.missed == []
    assert result.healthy.model_dump() == {"flows": 4, "captured": 0, "rows": []}
    assert result.differences.flows == 0
    assert result.verdicts == {"answered": 4, "unanswered": 3}
    packets = result.packets
    assert (packets.border, packets.ip, packets.written) == (21, 21, 6)
    assert (packets.controller, packets.logger) == (42, None)
    assert result.versions["openvswitch"] == "3.1.0"
    assert result.timeout == 1


def test_the_delay_to_the_rule(run, tmp_path):
    delay = the_plant(run.judged(tmp_path)).delay
    assert (delay.count, delay.shared, delay.aggregated, delay.none) == (3, 0, 0, 0)
    assert delay.p50 == delay.p99 == delay.max == pytest.approx(0.004)


def test_no_plants_no_findings(tmp_path):
    run = Run()
    run.healthy(1)
    run.findings = []
    run.write(tmp_path)
    result = judge(scenario(), INVENTORY, tmp_path, internal=INTERNAL)
    assert result.ok
    assert result.plants == []


def test_a_missing_flow(run, tmp_path):
    run.change_flows = lambda flows: flows[1:]
    result = run.judged(tmp_path)
    plant = the_plant(result)
    assert (result.ok, plant.judged_right) == (False, 2)
    assert plant.problems == ["1 of 3 flows were not judged right"]
    assert plant.live_verdicts == {"unanswered": 2, "none": 1}
    [row] = plant.missed
    assert (row.client, row.server, row.true, row.live) == (HPC, GONE, "unanswered", None)
    assert result.problems == ["1 flows were judged otherwise than offline"]


def test_a_wrong_verdict(run, tmp_path):
    port = 20_002  # of the first one
    reset = tcp(GONE, HPC, RST | ACK, sport=80, dport=port)
    run.live = sorted(
        [*run.records, Record(ethernet(reset), BEGIN + round(1.2 * SECOND))],
        key=lambda record: record.time,
    )
    result = run.judged(tmp_path)
    plant = the_plant(result)
    assert (result.ok, plant.judged_right) == (False, 2)
    assert [(row.client_port, row.live) for row in plant.missed] == [(port, "refused")]
    assert plant.live_verdicts == {"refused": 1, "unanswered": 2}
    # The next SYN opens a flow of its own, of which the trace knows nothing.
    assert [(row.true, row.live) for row in result.differences.rows] == [
        ("unanswered", "refused"), (None, "unanswered"),
    ]  # fmt: skip


def test_a_verdict_that_is_not_the_plants(run, tmp_path):
    plant = the_plant(run.judged(tmp_path, PLANT | {"verdicts": "refused"}))
    assert plant.judged_right == 0
    assert plant.problems == ["flows failed in other ways: unanswered 3"]


def test_a_suspect_verdict(run, tmp_path):
    def change(flows):
        flows["quality"] = Quality.SUSPECT
        return flows

    run.change_flows = change
    result = run.judged(tmp_path)
    assert (result.ok, the_plant(result).judged_right) == (False, 0)
    assert the_plant(result).missed[0].quality == "suspect"
    assert the_plant(result).problems == [
        "3 of 3 flows were not judged right, 3 of them because replies seemed out of sight"
    ]


def test_a_healthy_flow_that_is_taken_for_a_failure(run, tmp_path):
    lost = ethernet(tcp(WWW, STAFF, SYN | ACK, sport=80, dport=20_001))
    run.live = [record for record in run.records if record.data != lost]
    result = run.judged(tmp_path)
    assert not result.ok
    assert result.healthy.captured == 1
    assert the_plant(result).false_captures == 0, "neither its client nor its server"
    [row] = result.differences.rows
    assert (row.true, row.live, row.captured) == ("answered", "unanswered", 1)
    assert result.problems == [
        "1 packets of healthy flows, or of none, were captured",
        "1 flows were judged otherwise than offline",
    ]


def test_a_healthy_flow_of_a_plants_host_is_captured(run, tmp_path):
    run.healthy(10)  # time passes
    lost = ethernet(tcp(WWW, HPC, SYN | ACK, sport=80, dport=20_007))
    run.live = [record for record in run.records if record.data != lost]
    plant = the_plant(run.judged(tmp_path))
    assert plant.false_captures == 1
    assert plant.problems == ["1 packets of healthy flows were captured"]


def test_a_packet_of_no_flow_is_captured(run, tmp_path):
    stray = Record(ethernet(tcp(STAFF, GONE, SYN, sport=9)), BEGIN + 2 * SECOND)
    run.live = sorted([*run.records, stray], key=lambda record: record.time)
    result = run.judged(tmp_path)
    assert result.healthy.captured == 1
    [row] = result.differences.rows
    assert (row.true, row.live, row.client_port) == (None, "unanswered", 9)


@pytest.mark.parametrize("role", [Role.FIRST, Role.LATER])
def test_a_missing_capture(run, tmp_path, role):
    run.change_packets = lambda packets: packets[packets["role"] != role]
    result = run.judged(tmp_path)
    plant = the_plant(result)
    assert (result.ok, plant.captured, plant.captured_missing) == (False, 3, 3)
    assert plant.problems == ["3 packets of 3 flows were not captured"]
    assert [(row.captured, row.wanted) for row in plant.missed] == [(1, 2)] * 3


def test_more_of_one_flow_do_not_make_up_for_another(run, tmp_path):
    def change(packets):
        again = packets[packets["role"] == Role.LATER][:1]
        kept = packets[packets["role"] == Role.FIRST]
        return np.concatenate([kept, again, again, again])

    run.change_packets = change
    plant = the_plant(run.judged(tmp_path))
    assert (plant.captured, plant.captured_expected.least, plant.captured_missing) == (6, 6, 2)


def test_a_packet_just_after_the_verdict_may_be_missing(run, tmp_path):
    port = run.port()
    for at in (20, 21.05):
        run.packet(at, tcp(HPC, GONE, SYN, sport=port))
    run.packet(22, tcp(STAFF, WWW, SYN, sport=3))  # time passes
    run.change_packets = lambda packets: packets[packets["time"] != BEGIN + round(21.05 * SECOND)]
    plant = the_plant(run.judged(tmp_path))
    assert plant.captured_expected.model_dump() == {"least": 7, "most": 8}
    assert (plant.captured, plant.problems) == (7, [])


def test_a_packet_before_a_late_rule_may_be_missing(run, tmp_path):
    run.rule_after = 950_000_000
    run.change_packets = lambda packets: packets[packets["role"] == Role.FIRST]
    plant = the_plant(run.judged(tmp_path))
    assert plant.captured_expected.model_dump() == {"least": 3, "most": 6}
    assert plant.problems == []
    assert plant.delay.max == pytest.approx(0.95)


def test_a_rule_that_never_came_excuses_nothing(run, tmp_path):
    run.change_packets = lambda packets: packets[packets["role"] == Role.FIRST]
    run.write(tmp_path)
    (tmp_path / "rules-s1.txt").write_text("")
    plant = the_plant(judge(scenario(PLANT), INVENTORY, tmp_path, internal=INTERNAL))
    assert (plant.captured_missing, plant.delay.none, plant.delay.p50) == (3, 3, None)


def test_an_answer_close_to_the_deadline_may_be_late_live(tmp_path):
    run = Run()
    run.findings = []
    for port, delay in ((1, 0.99), (2, 1.01)):
        run.packet(1, tcp(STAFF, WWW, SYN, sport=port))
        run.packet(1 + delay, tcp(WWW, STAFF, SYN | ACK, sport=80, dport=port))
    run.write(tmp_path)
    # Live the one comes too late, the other in time.
    live = Run()
    for port, delay in ((1, 1.01), (2, 0.99)):
        live.packet(1, tcp(STAFF, WWW, SYN, sport=port))
        live.packet(1 + delay, tcp(WWW, STAFF, SYN | ACK, sport=80, dport=port))
    run.live = live.records
    run.write(tmp_path)
    result = judge(scenario(), INVENTORY, tmp_path, internal=INTERNAL)
    assert (result.verdicts, result.problems) == ({"answered": 1, "recovered": 1}, [])


def test_a_flow_that_is_pending_when_the_trace_ends(run, tmp_path):
    run.packet(20, tcp(HPC, GONE, SYN, sport=5))
    late = Record(ethernet(tcp(STAFF, WWW, SYN, sport=6)), BEGIN + 22 * SECOND)
    run.live = [*run.records, late]  # live knows its verdict
    result = run.judged(tmp_path)
    assert the_plant(result).true_verdicts == {"unanswered": 3, "pending": 1}
    assert the_plant(result).expected_flows == 3
    assert result.ok


def test_too_few_flows(run, tmp_path):
    plant = the_plant(run.judged(tmp_path, PLANT | {"least": 4}))
    assert plant.problems == ["3 flows failed, not 4: it did not happen"]


def test_no_finding(run, tmp_path):
    run.findings = []
    result = run.judged(tmp_path)
    assert (result.ok, the_plant(result).finding_named) == (False, False)
    assert the_plant(result).problems == ["the report names it nowhere in stale_server"]


def test_another_kind_of_finding(run, tmp_path):
    run.findings = [FINDING | {"kind": "outage"}]
    result = run.judged(tmp_path)
    assert not the_plant(result).finding_named
    assert result.unexpected_findings == [], "it is about the plant, though"


def test_an_unexpected_finding(run, tmp_path):
    run.findings = [FINDING, ELSEWHERE]
    result = run.judged(tmp_path)
    assert (result.ok, the_plant(result).problems) == (False, [])
    assert [each.hosts for each in result.unexpected_findings] == [["10.20.9.9"]]
    assert result.problems == ["a finding names no plant: stale_server: something else"]


def test_a_flow_is_of_the_first_plant_that_matches(run, tmp_path):
    anything = PLANT | {"name": "any", "match": {}, "least": 1}
    run.unanswered(10, dport=443)
    first, second = run.judged(tmp_path, PLANT, anything).plants
    assert (first.expected_flows, second.expected_flows) == (3, 1)


def test_icmp_errors(run, tmp_path):
    run.unreachable(10)
    run.findings.append(FINDING)
    plant = {
        "name": "closed", "clients": "hpc", "servers": "www", "run": "true", "least": 1,
        "match": {"services": "udp/500"}, "verdicts": "icmp_error", "named_by": "stale_server",
    }  # fmt: skip
    result = run.judged(tmp_path, PLANT, plant)
    closed = result.plants[1]
    assert (closed.judged_right, closed.captured) == (1, 2)
    assert (result.packets.icmp_errors, result.packets.icmp_errors_written) == (1, 1)
    assert result.ok


def test_a_missing_icmp_error(run, tmp_path):
    run.unreachable(10)
    run.change_packets = lambda packets: packets[packets["role"] != Role.ERROR]
    result = run.judged(tmp_path)
    assert result.problems == ["1 ICMP errors were not captured"]


def test_an_icmp_error_about_a_healthy_flow_is_captured(run, tmp_path):
    from tests.traffic import icmp_error

    port = run.healthy(10)
    run.packet(11, icmp_error(WWW, tcp(STAFF, WWW, ACK, sport=port)))
    result = run.judged(tmp_path)
    assert (result.ok, result.healthy.captured) == (True, 0)
    assert result.packets.icmp_errors_written == 1


def test_ports_that_are_used_again_with_reactive_rules(run, tmp_path):
    for at in (10, 12):
        run.packet(at, tcp(STAFF, WWW, SYN, sport=7))
        if at == 10:
            run.packet(at + 0.01, tcp(WWW, STAFF, RST | ACK, sport=80, dport=7))
    run.packet(15, tcp(STAFF, WWW, SYN, sport=8))
    run.change_flows = lambda flows: flows[
        ~((flows["state"] == State.UNANSWERED) & (flows["first"] == BEGIN + 12 * SECOND))
    ]
    run.change_packets = lambda packets: packets[packets["flow"]["first"] < BEGIN + 12 * SECOND]
    run.pipeline = "reactive"
    result = run.judged(tmp_path)
    assert (result.differences.flows, result.differences.known) == (1, 1)
    assert "reactive" in result.differences.rows[0].known
    assert result.ok


def test_without_a_report(run, tmp_path):
    run.write(tmp_path)
    (tmp_path / "report.json").unlink()
    result = judge(scenario(PLANT), INVENTORY, tmp_path, internal=INTERNAL)
    assert result.problems == ["there is no report"]
    assert not the_plant(result).finding_named


@pytest.mark.parametrize("name", ["chamaleonet.yaml", "trace-border-eth0.pcap"])
def test_what_is_missing_is_named(run, tmp_path, name):
    run.write(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(UserError, match=name.partition("-")[0]):
        judge(scenario(PLANT), INVENTORY, tmp_path, internal=INTERNAL)
