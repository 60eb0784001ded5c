"""A capture with each verdict, replayed: live finds what is found in the file."""

import json
import subprocess
import sys

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether
from scapy.utils import PcapWriter

from mininet_tests.harness import ROOT
from mininet_tests.scenarios import CLIENT_MAC, SERVER_MAC, scenarios

BEGIN = 1_700_000_000
TIMEOUT, LATE = 1.0, 0.5  # s: of the replay; so much later is what is late
SNAPLEN = 100
VERDICTS = {
    "answered", "recovered", "refused", "icmp_error", "unanswered", "midstream", "unsolicited"
}  # fmt: skip


def capture(path, speed, *, with_reuse):
    """Write one flow for each way that a flow can go, at once but for what is late."""
    packets = []
    steps = [each for each in scenarios() if with_reuse or not each.name.startswith("reused")]
    for nth, scenario in enumerate(steps):
        start = 0.02 * nth
        # Answers come sooner than any network here could carry them.
        packets += [(start + 1e-5 * n, frame) for n, (_, frame) in enumerate(scenario.first)]
        late = start + TIMEOUT + LATE
        packets += [(late + 1e-5 * n, frame) for n, (_, frame) in enumerate(scenario.late)]
    multicast = Ether(src=CLIENT_MAC, dst=SERVER_MAC) / IP(src="10.77.1.1", dst="224.0.0.251")
    packets.append((0.5, bytes(multicast / UDP() / b"to nobody")))
    with PcapWriter(str(path), linktype=1) as file:
        for at, frame in sorted(packets):
            kept = Ether(frame[:SNAPLEN])
            kept.time, kept.wirelen = BEGIN + at * speed, len(frame)
            file.write(kept)


def replayed(path, directory, *options):
    done = subprocess.run(
        [sys.executable, "-m", "chamaleonet", "lab", "replay", path, "-o", directory, *options],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    result = json.loads((directory / "result.json").read_text()) if done.returncode < 2 else {}
    return done, result


@pytest.mark.parametrize(
    ("topology", "pipeline", "speed"),
    [("single", "reactive", 2), ("campus", "conntrack", 1)],
)
def test_what_is_live_is_what_is_in_the_file(tmp_path, topology, pipeline, speed):
    path = tmp_path / "each.pcap"
    # A port that is used again while its bypass lives goes unseen by plain OpenFlow 1.3.
    capture(path, speed, with_reuse=pipeline != "reactive")
    done, result = replayed(
        path, tmp_path / "out", "--topology", topology, "--pipeline", pipeline,
        "--speed", str(speed), "--timeout", f"{TIMEOUT * speed}s",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    replay = result["replay"]
    assert replay["left_out"] == {"excluded": 1}
    assert replay["sent"] == replay["packets"] - 1
    assert replay["original"].keys() == VERDICTS
    assert replay["original"] == replay["mapped"] == result["verdicts"]
    assert replay["crossing"] == sum(replay["original"].values())
    assert replay["altered"] == 0
    failing = {
        verdict: count
        for verdict, count in replay["original"].items()
        if verdict not in ("answered", "midstream")
    }
    assert replay["live"] == failing
    assert replay["judged_right"] == replay["expected_flows"] == sum(failing.values())
    assert replay["captured"] >= replay["captured_expected"]["least"] > 0
    assert result["healthy"]["captured"] == 0
