"""A machine that says what was recorded: healthy, unless a test says otherwise."""

from __future__ import annotations

import hashlib
import json
import stat
from pathlib import Path

from chamaleonet import config
from chamaleonet.config import Config
from chamaleonet.doctor.check import Context, Skip
from chamaleonet.doctor.examine import CHECKS
from chamaleonet.doctor.machine import Answer, Clock, Entry, Kernels, Machine, Text

ROOT = Path(__file__).parents[2]
INLINE = config.load(ROOT / "deploy" / "inline-ovs.yaml")
DP_ID = "00000000000000a1"

FEATURES = """\
Masked set action: Yes
Truncate action: Yes
Conntrack timeout policy: Yes
CT state: Yes
CT zone: Yes
CT mark: Yes
CT label: Yes
"""
TABLE_FEATURES = """\
  table 0:
    metadata: match=0xffffffffffffffff write=0xffffffffffffffff
    max_entries=1000000
    instructions (table miss and others):
      next tables: 1-253
      instructions: meter apply_actions clear_actions write_actions write_metadata goto_table

  tables 1...252: ditto

  table 253:
    metadata: match=0xffffffffffffffff write=0xffffffffffffffff
    max_entries=2000
    instructions (table miss and others):
"""
METERS = """\
OFPST_METER_FEATURES reply (OF1.3) (xid=0x2):
max_meter:262144 max_bands:8 max_color:0
band_types: drop
"""
PORTS = """\
OFPST_PORT reply (OF1.3) (xid=0x2): 4 ports
  port  1: rx pkts=810, bytes=65600, drop=0, errs=0, frame=0, over=0, crc=0
           tx pkts=0, bytes=0, drop=0, errs=0, coll=0
  port LOCAL: rx pkts=0, bytes=0, drop=0, errs=0, frame=0, over=0, crc=0
  port  2: rx pkts=700, bytes=65600, drop=0, errs=0, frame=0, over=0, crc=0
  port  3: rx pkts=0, bytes=0, drop=0, errs=0, frame=0, over=0, crc=0
  port  4: rx pkts=0, bytes=0, drop=0, errs=0, frame=0, over=0, crc=0
"""
ETHTOOL = """\
Features for p1:
rx-checksumming: on
generic-segmentation-offload: on
generic-receive-offload: off
large-receive-offload: off [fixed]
"""
COVERAGE = """\
Event coverage, avg rate over last: 5 seconds, last minute, last hour,  hash=1d4cf201:
bridge_reconfigure         0.0/sec     0.200/sec        0.0033/sec   total: 12
{}\
112 events never hit
"""
SOFTNET = """\
0003e5a1 00000000 00000012 00000000
0002a1b3 00000000 00000007 00000000
"""
MEMORY = """\
MemTotal:        8000000 kB
MemFree:         1000000 kB
MemAvailable:    6000000 kB
HugePages_Total:       0
"""
LISTENING = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: {}:{:04X} 00000000:0000 {} 00000000:00000000 00:00000000 00000000     0        0 1 1 0 100
"""


def flow(rule, packets):
    """Return a rule as ``ovs-ofctl dump-flows`` prints it."""
    table, priority, match = rule
    return (
        f" cookie=0xc4a1100000000000, duration=9.1s, table={table}, n_packets={packets},"
        f" n_bytes=0, priority={priority},{match} actions=drop\n"
    )


NEW = 2, 50, "ct_state=+new+trk,ip"
REPLY = 2, 70, "ct_state=+est+rpl+trk,ct_mark=0,ip"
INVALID = 2, 90, "ct_state=+inv+trk,tcp,tcp_flags=+syn+ack"


def flows(new=100, reply=90, invalid=3):
    return "OFPST_FLOW reply (OF1.3) (xid=0x2):\n" + "".join(
        flow(*each) for each in ((NEW, new), (REPLY, reply), (INVALID, invalid))
    )


def exported(*lines, file=INLINE):
    """Return what one of our programs exports."""
    digest = hashlib.sha256(config.dump(file).encode()).hexdigest()[:16]
    return "\n".join(
        [
            'chamaleonet_build_info{version="0.1"} 1.0',
            f'chamaleonet_config_info{{sha256="{digest}"}} 1.0',
            *lines,
            "",
        ]
    )


def column(value):
    """Return a value as ``ovs-vsctl --format=json`` writes it."""
    if value is None:
        return ["set", []]
    if isinstance(value, list):
        return ["set", [column(each) for each in value]]
    if isinstance(value, dict):
        return ["map", [[name, column(each)] for name, each in value.items()]]
    if isinstance(value, str) and value.startswith("uuid-"):
        return ["uuid", value]
    return value


def listed(rows):
    headings = sorted({name for row in rows for name in row})
    data = [[column(row.get(name)) for name in headings] for row in rows]
    return json.dumps({"headings": headings, "data": data})


def port(number, name, *, tag=None, kind="", ofport=None):
    """Return a port's and its interface's row."""
    return (
        {"_uuid": f"uuid-p{number}", "name": name, "tag": tag, "interfaces": f"uuid-i{number}"},
        {
            "_uuid": f"uuid-i{number}", "name": name, "type": kind, "error": None,
            "ofport": ofport or number,
        },
    )  # fmt: skip


class Recorded(Machine):
    """What a healthy machine with a healthy bridge br0 says.

    Attributes:
        commands: what commands print or answer, by how they begin; the longest that fits holds.
        bridges, controllers, all_ports: rows of the switch's database.
    """

    user, python, processor = 0, (3, 11), ("x86_64", 2)

    def __init__(self):
        self.bridges = [
            {
                "_uuid": "uuid-b", "name": "br0", "datapath_id": DP_ID, "datapath_type": "netdev",
                "protocols": "OpenFlow13", "fail_mode": "secure", "controller": "uuid-c",
                "other_config": {}, "ports": [f"uuid-p{n}" for n in (1, 2, 3, 4)],
            }
        ]  # fmt: skip
        self.controllers = [
            {
                "_uuid": "uuid-c", "target": "tcp:127.0.0.1:6653", "max_backoff": 1000,
                "is_connected": True, "role": "other", "status": {},
            }
        ]  # fmt: skip
        self.all_ports = [
            port(1, "p1"), port(2, "p2"),
            port(3, "cand0", tag=4094, kind="internal"),
            port(4, "log0", tag=4094, kind="internal"),
        ]  # fmt: skip
        self.commands = {
            "ovs-vsctl --timeout=5 get open_vswitch . ovs_version": '"3.1.0"\n',
            "ovs-appctl --timeout=5 version": "ovs-vswitchd (Open vSwitch) 3.1.0\n",
            "ovs-appctl --timeout=5 dpif/show-dp-features br0": FEATURES,
            "ovs-appctl --timeout=5 dpctl/ct-get-nconns netdev@ovs-netdev": "12\n",
            "ovs-appctl --timeout=5 dpctl/ct-get-maxconns netdev@ovs-netdev": "3000000\n",
            "ovs-appctl dpctl/ct-get-limits": "default limit=0\n",
            "ovs-appctl --timeout=5 coverage/show": COVERAGE.format(""),
            "ovs-ofctl --protocols=OpenFlow13 --no-names dump-table-features": TABLE_FEATURES,
            "ovs-ofctl --protocols=OpenFlow13 --no-names meter-features": METERS,
            "ovs-ofctl --protocols=OpenFlow13 --no-names dump-ports": PORTS,
            "ovs-ofctl --protocols=OpenFlow13 --no-names dump-flows": flows(),
            "ovs-ofctl --protocols=OpenFlow13 --no-names --no-stats dump-flows": flows(),
            "ovs-ofctl --protocols=OpenFlow13 --no-names diff-flows": "",
            "ethtool -k": ETHTOOL,
        }
        self.files = {
            "/proc/meminfo": MEMORY,
            "/proc/net/softnet_stat": SOFTNET,
            "/proc/self/status": "Name:\tpython\nCapEff:\t000001ffffffffff\n",
            "/proc/sys/net/ipv6/conf/cand0/addr_gen_mode": "1\n",
            "/proc/sys/net/ipv6/conf/log0/addr_gen_mode": "1\n",
        }
        self.entries = {
            Path("/run/chamaleonet/verdicts.sock"): Entry(stat.S_IFSOCK | 0o600, 0),
        }
        self.up = {"cand0": True, "log0": True}
        self.pages = {9302: exported(), 9303: exported()}
        self.writable = True
        self.free_bytes = 1 << 40
        self.has_kernels = Kernels(Path("/var/cache/chamaleonet"), compiled=True)
        self.clock_is = Clock(is_synchronised=True, error=0.02)
        self.offset = 10**18
        self.waited = []
        self.on_wait = lambda: None

    def run(self, *command):
        words = " ".join("<text>" if isinstance(word, Text) else word for word in command)
        for table, rows in (
            ("bridge", self.bridges),
            ("controller", self.controllers),
            ("port", [port for port, _ in self.all_ports]),
            ("interface", [interface for _, interface in self.all_ports]),
        ):
            if words == f"ovs-vsctl --timeout=5 --format=json list {table}":
                return Answer(0, listed(rows))
        found = [begin for begin in self.commands if words.startswith(begin)]
        if not found:
            assert "import chamaleonet" in words, words
            return Answer(0, "os_ken\n")
        answer = self.commands[max(found, key=len)]
        if callable(answer):
            answer = answer(*command)
        return Answer(0, answer) if isinstance(answer, str) else answer

    def read(self, path):
        return self.files.get(path)

    def entry(self, path):
        return self.entries.get(path)

    def may_write(self, _):
        return self.writable

    def free(self, _):
        return self.free_bytes

    def kernels(self):
        return self.has_kernels

    def clock(self):
        return self.clock_is

    def clock_offset(self):
        return self.offset

    def metrics(self, endpoint):
        return self.pages.get(endpoint.port)

    def is_up(self, interface):
        return self.up.get(interface)

    def wait(self, seconds):
        self.waited.append(seconds)
        self.on_wait()


def context(machine, config=INLINE, *, file=Path("site.yaml")):
    switch = config.switches[0] if config.switches else None
    return Context(machine, config, file, 3.0, switch, machine.offset)


def says(name, machine, config=INLINE, **named):
    """Return what a check says: (verdict, found, todo)."""
    [check] = [check for check in CHECKS if check.name == name]
    try:
        result = check.run(context(machine, config, **named))
    except Skip as skip:
        result = skip.result
    return result.verdict.value, result.found, result.todo


def configured(**changes):
    """Return the inline configuration with changes: keys with ``__`` go into sections."""
    plain = INLINE.model_dump(mode="json")
    for name, value in changes.items():
        *path, last = name.split("__")
        section = plain
        for key in path:
            section = section["switches"][0] if key == "switch" else section[key]
        section[last] = value
    return Config.model_validate(plain)


REACTIVE = configured(
    switch__pipeline="reactive", switch__candidates={"port": None, "interface": None}
)
NOT_INSTALLED = Answer(127, "", "not installed")
_FAILED = "ovs-vsctl: unix:/run/openvswitch/db.sock: database connection failed ({})\n"
DENIED = Answer(1, "", _FAILED.format("Permission denied"))
STOPPED = Answer(1, "", _FAILED.format("No such file or directory"))
