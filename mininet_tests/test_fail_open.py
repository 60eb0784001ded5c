"""Forwarding never depends on the controller: kill it, and the network does not notice."""

import re
import time

import pytest

from mininet_tests.harness import CANDIDATE, CANDIDATE_PORT

LABS = {
    "conntrack": (
        "single",
        f"pipeline: conntrack, candidates: {{port: {CANDIDATE_PORT}, interface: {CANDIDATE}}}",
    ),
    "conntrack-packet-in": ("single", "pipeline: conntrack"),
    "reactive": ("single", "pipeline: reactive"),
}

SERVE = """
import socket
server = socket.create_server(("", 8000))
while True:
    connection, _ = server.accept()
    while data := connection.recv(100):
        connection.sendall(data)
"""
TALK = """
import socket, time
with socket.create_connection(("192.0.2.1", 8000), timeout=5) as connection:
    for n in range({}):
        connection.sendall(b"%05d" % n)
        assert connection.recv(100) == b"%05d" % n
        time.sleep(0.02)
print("all said")
"""


@pytest.mark.parametrize("lab", LABS.values(), indirect=True, ids=LABS)
def test_a_killed_controller_leaves_forwarding_alone(lab):
    network, controller = lab
    client, server = network.host("client"), network.host("server")
    serving = server.popen(["python3", "-c", SERVE])
    try:
        controller.wait_for(lambda: server.cmd("ss -Htln sport = 8000").strip())
        talking = client.popen(["python3", "-c", TALK.format(150)])
        pinging = client.popen(["ping", "-n", "-i", "0.05", "-c", "60", "-W", "1", "192.0.2.1"])
        time.sleep(1)
        assert talking.poll() is None
        controller.kill()
        rules = network.rules()
        said, errors = talking.communicate(timeout=20)
        assert said == b"all said\n", errors
        assert re.search(rb"60 packets transmitted, 60 received", pinging.communicate()[0])
        # New flows as well, whose packets have no controller to go to.
        assert client.pexec(["python3", "-c", TALK.format(3)])[0] == "all said\n"
        assert "3 received" in client.cmd("ping -n -i 0.05 -c 3 -W 1 192.0.2.1")
        assert network.rules() == rules
    finally:
        serving.kill()
        serving.wait()


@pytest.mark.parametrize("lab", [LABS["conntrack"]], indirect=True)
def test_rules_of_others_stay_and_leftovers_of_ours_go(lab):
    network, controller = lab
    controller.kill()
    others = "cookie=0x7,table=5,priority=7,ip,nw_dst=192.0.2.1 actions=drop"
    similar = "cookie=0xc4a2000000000000,table=1,priority=9,ip,nw_dst=192.0.2.2 actions=drop"
    orphan = (
        "cookie=0xc4a1510000000007,table=1,priority=100,ip,nw_dst=192.0.2.3 actions=goto_table:2"
    )
    for rule in (others, similar, orphan):
        network.add_rule(rule)
    before = network.rules()
    assert "192.0.2.3" in before
    controller.start()
    after = network.rules()
    kept = {line for line in before.splitlines() if "192.0.2.3" not in line}
    assert set(after.splitlines()) == kept  # under the cookies that they had
