"""Our programs, and the addresses that they want."""

import pytest

from tests.doctor.recorded import LISTENING, Recorded, configured, exported, says


@pytest.fixture
def machine():
    return Recorded()


def test_programs(machine):
    assert says("programs", machine)[:2] == ("ok", "running: controller, logger")
    del machine.pages[9303]
    assert says("programs", machine) == (
        "warn", "not running: logger", "chamaleonet log --config site.yaml"
    )  # fmt: skip
    assert says("programs", machine, configured(logger__interface=None), file=None)[0] == "ok"
    machine.pages = {}
    assert says("programs", machine)[1:] == (
        "not running: controller, logger", "start it: chamaleonet run --config site.yaml"
    )  # fmt: skip


def test_programs_that_run_by_another_configuration(machine):
    verdict, found, todo = says("programs", machine, configured(max_flows=5))
    assert (verdict, todo) == ("warn", "restart the controller")
    assert "another configuration than site.yaml" in found


def test_losses(machine):
    assert says("losses", machine)[0] == "ok"
    machine.pages[9303] = exported('chamaleonet_dropped_total{cause="not_erroneous"} 7.0')
    assert says("losses", machine)[0] == "ok"
    machine.pages[9302] = exported(
        'chamaleonet_dropped_total{cause="ring_full"} 12.0',
        'chamaleonet_dropped_total{cause="flow_table_full"} 400.0',
        'chamaleonet_dropped_total{cause="stream_busy"} 0.0',
    )
    assert says("losses", machine) == (
        "warn", "lost: controller 400 flow_table_full, controller 12 ring_full", "raise max_flows"
    )  # fmt: skip
    machine.pages[9302] = exported('chamaleonet_dropped_total{cause="hold_full"} 1.0')
    assert says("losses", machine)[2].startswith("see docs/metrics.md: logger: packets not written")
    machine.pages = {}
    assert says("losses", machine)[0] == "skipped"


# 127.0.0.1, 192.0.2.1 and ::1 as /proc/net writes them on a little-endian machine.
LOOPBACK, OTHER, LOOPBACK_6 = "0100007F", "010200C0", "00000000000000000000000001000000"
ANY = "00000000"


@pytest.mark.parametrize(
    ("file", "address", "port", "state", "verdict"),
    [
        ("tcp", LOOPBACK, 6653, "0A", "fail"),
        ("tcp", ANY, 9303, "0A", "fail"),
        ("tcp", OTHER, 6653, "0A", "ok"),
        ("tcp", LOOPBACK, 6653, "01", "ok"),  # established
        ("tcp", LOOPBACK, 6654, "0A", "ok"),
        ("tcp6", LOOPBACK_6, 6653, "0A", "ok"),
        ("tcp6", "0" * 32, 6653, "0A", "fail"),
    ],
)
def test_addresses(machine, file, address, port, state, verdict):
    machine.pages = {}
    machine.files[f"/proc/net/{file}"] = LISTENING.format(address, port, state)
    said, found, todo = says("addresses", machine)
    assert said == verdict
    if verdict == "fail":
        assert f":{port}" in found
        assert f"ss -ltnp 'sport = :{port}'" in todo


def test_addresses_that_our_own_programs_have_are_all_right(machine):
    machine.files["/proc/net/tcp"] = LISTENING.format(LOOPBACK, 6653, "0A")
    assert says("addresses", machine)[0] == "ok"
