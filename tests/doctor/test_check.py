"""The switch's database is read as it writes itself."""

from chamaleonet.doctor.check import members, parse_rows


def test_a_recorded_table_is_read():
    recorded = (  # Open vSwitch 3.1
        '{"data":[[["uuid","6d6a581a-ce51-4883-8416-9bb3de97d6f3"],["set",[]],"cand0",'
        '["map",[["datapath-id","00000000000000a1"]]],["set",[["uuid","aa"],["uuid","bb"]]],4094,'
        'false]],"headings":["_uuid","error","name","other_config","ports","tag","up"]}'
    )
    assert parse_rows(recorded) == [
        {
            "_uuid": "6d6a581a-ce51-4883-8416-9bb3de97d6f3", "error": None, "name": "cand0",
            "other_config": {"datapath-id": "00000000000000a1"}, "ports": ["aa", "bb"],
            "tag": 4094, "up": False,
        }
    ]  # fmt: skip


def test_a_set_is_a_list_however_many_are_in_it():
    assert [members(value) for value in (None, "one", ["one", "two"])] == [
        [], ["one"], ["one", "two"]
    ]  # fmt: skip
