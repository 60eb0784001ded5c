from chamaleonet.switch.conntrack import ConntrackPipeline
from chamaleonet.switch.rules import Commit, Controller, Kind, Output, Resubmit
from tests.switch.build import frame

PORT = {"port": 3, "interface": "cand0"}


def rules(**changes):
    return list(ConntrackPipeline(frame(**changes)).static_rules())


def test_every_rule_that_copies_also_forwards():
    copying = [rule for rule in rules(candidates=PORT) if any(
        isinstance(action, Output | Controller) for action in rule.actions
    )]  # fmt: skip
    assert copying
    assert all(rule.goto == 3 for rule in copying)


def test_no_copy_is_longer_than_the_snaplen():
    for candidates in (PORT, {}):
        copies = [
            action
            for rule in rules(candidates=candidates, snaplen=100)
            for action in rule.actions
            if isinstance(action, Output | Controller)
        ]
        assert copies
        assert all(copy.max_len == 100 for copy in copies)


def test_candidates_leave_by_their_port_or_as_packet_ins():
    by_port = {action for rule in rules(candidates=PORT) for action in rule.actions}
    unmetered = rules(meters={"by": "none"})
    as_packet_in = {action for rule in unmetered for action in rule.actions}
    assert Output(3, 128) in by_port
    assert not any(isinstance(action, Controller) for action in by_port)
    assert Controller(128) in as_packet_in
    assert Output(3, 128) not in as_packet_in


def test_places_are_distinct_and_all_rules_static():
    all_rules = rules(candidates=PORT, scope={"ports": [1, 2], "vlans": [10, 20]})
    assert len({rule.place for rule in all_rules}) == len(all_rules)
    assert {rule.cookie.kind for rule in all_rules} == {Kind.STATIC}
    assert all(rule.idle_timeout == 0 for rule in all_rules)


def test_tables_are_the_operators():
    tables = {"scope": 10, "redirect": 11, "filter": 20, "forward": 30}
    own = rules(tables=tables | {"meters": 9}, forward="table")
    assert {rule.table for rule in own} == {9, 10, 11, 20}  # 30 belongs to another application
    assert {rule.goto for rule in own} == {None, 11, 20, 30}
    assert {rule.table for rule in rules(tables=tables)} == {10, 11, 20, 30, 253}


def test_a_copy_is_made_while_the_connections_state_is_known():
    """A commit takes ct_state away, by which a reply's meter is chosen."""
    committing = [
        rule.actions for rule in rules() if any(isinstance(a, Commit) for a in rule.actions)
    ]
    assert len(committing) == 6
    assert all([*map(type, actions)] == [Resubmit, Commit] for actions in committing)


def test_scope_is_ports_times_vlans_times_families():
    scope = [r for r in rules(scope={"ports": [1, 2], "vlans": [10, 20]}) if r.priority == 20]
    assert len(scope) == 8
    assert {dict(rule.match)["vlan_vid"] for rule in scope} == {0x100A, 0x1014}


def test_what_we_send_ourselves_is_no_traffic():
    own = [rule for rule in rules(candidates=PORT) if rule.table == 0 and not rule.goto]
    assert [dict(rule.match) for rule in own] == [{"in_port": 4}, {"in_port": 3}]
