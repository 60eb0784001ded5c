"""The configuration: one YAML file, typed, every field described."""

from __future__ import annotations

import re
from ipaddress import IPv4Network, IPv6Network, ip_address
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Self

import yaml
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    WithJsonSchema,
    model_validator,
)

from chamaleonet import yamlfile
from chamaleonet.capture.fanout import MOST_RINGS
from chamaleonet.capture.spread import MOST_SNAPLEN
from chamaleonet.flows.transitions import CAPTURABLE, ERRONEOUS, State
from chamaleonet.units import (
    FACILITIES,
    PRIVATE,
    Network,
    duration,
    duration_text,
    network,
    size,
    size_text,
)


def _duration(text: object) -> int:
    return text if isinstance(text, int) else duration(text)  # defaults are in ns already


def _size(text: object) -> int:
    return text if isinstance(text, int) else size(text)  # defaults are in bytes already


def _network(text: object) -> Network:
    return text if isinstance(text, IPv4Network | IPv6Network) else network(text)


def _state(text: object) -> State:
    if isinstance(text, State):
        return text
    for state in CAPTURABLE:
        if state.label == text:
            return state
    names = ", ".join(state.label for state in CAPTURABLE)
    raise ValueError(f"{text!r} cannot be captured (choose of: {names})")


class Endpoint(NamedTuple):
    """An address and port to listen on or to connect to."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def _endpoint(text: object) -> Endpoint:
    if isinstance(text, Endpoint):
        return text
    host, separator, port = str(text).rpartition(":")
    if not separator or not port.isdecimal() or not 0 < int(port) < 65536:
        raise ValueError(f"{text!r} is not ADDRESS:PORT")
    try:
        address = ip_address(host.removeprefix("[").removesuffix("]"))
    except ValueError:
        raise ValueError(f"{host!r} is not an IP address") from None
    if (":" in str(address)) != host.startswith("["):
        raise ValueError("write an IPv6 address in brackets: [::1]:6653")
    return Endpoint(str(address), int(port))


def _datapath_id(text: object) -> int:
    if isinstance(text, int):
        return text
    digits = str(text).lower().removeprefix("0x").replace(":", "")
    if not re.fullmatch("[0-9a-f]{1,16}", digits):
        raise ValueError(f"{text!r} is not a datapath id: up to 16 hexadecimal digits")
    return int(digits, 16)


def datapath_text(dp_id: int) -> str:
    """Return a datapath id as Open vSwitch writes it: 16 hexadecimal digits."""
    return f"{dp_id:016x}"


def _typed(check: Any, write: Any, pattern: str, example: str) -> Any:
    return (
        BeforeValidator(check),
        PlainSerializer(write, return_type=str),
        WithJsonSchema({"type": "string", "pattern": pattern, "examples": [example]}),
    )


Duration = Annotated[
    int, *_typed(_duration, duration_text, r"^\d+(\.\d+)?\s*(ns|us|ms|s|m|h|d)$", "3s")
]
Size = Annotated[int, *_typed(_size, size_text, r"^\d+(\.\d+)?\s*(B|KiB|MiB|GiB|TiB)$", "64MiB")]
Cidr = Annotated[Network, *_typed(_network, str, r"^[0-9a-fA-F.:]+/\d+$", "10.0.0.0/8")]
Captured = Annotated[
    State,
    BeforeValidator(_state),
    PlainSerializer(lambda state: state.label, return_type=str),
    WithJsonSchema({"enum": [state.label for state in CAPTURABLE]}),
]
Listen = Annotated[Endpoint, *_typed(_endpoint, str, r"^.+:\d+$", "127.0.0.1:6653")]
DatapathId = Annotated[
    int, *_typed(_datapath_id, datapath_text, "^(0x)?[0-9a-fA-F:]{1,23}$", "00000000000000a1")
]
Port = Annotated[int, Field(ge=1, le=0xFFFFFF00)]
Table = Annotated[int, Field(ge=0, le=253)]
Vlan = Annotated[int, Field(ge=1, le=4094)]
# ovs-vswitchd.conf.db(5), table CT_Timeout_Policy
TrackerTimeout = Literal[
    "icmp_first", "icmp_reply", "tcp_close", "tcp_close_wait", "tcp_established", "tcp_fin_wait",
    "tcp_last_ack", "tcp_retransmit", "tcp_syn_recv", "tcp_syn_sent", "tcp_syn_sent2",
    "tcp_time_wait", "tcp_unack", "udp_first", "udp_multiple", "udp_single",
]  # fmt: skip


LIVE: dict[str, Any] = {"reload": "live"}  # of a key that can change while the controller runs


class Section(BaseModel):
    """What all sections share: frozen, and no unknown key passes."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Tls(Section):
    """Certificates: both ends prove who they are."""

    certificate: Path = Field(description="Own certificate chain, PEM.")
    key: Path = Field(description="Own private key, PEM; readable by its owner alone.")
    ca: Path = Field(description="Certificate authority that the other end's must be signed by.")


class OpenFlow(Section):
    """Where switches connect to."""

    listen: Listen = Field(
        default=Endpoint("127.0.0.1", 6653),
        description="Address and TCP port on which switches are awaited; without `tls` better a"
        " loopback address.",
    )
    tls: Tls | None = Field(
        default=None,
        json_schema_extra=LIVE,
        description="Certificates: then switches must connect by `ssl:` and show one of their own.",
    )
    handshake_timeout: Duration = Field(
        default=10 * 10**9,
        json_schema_extra=LIVE,
        description="A connection that has not become a switch's in this time is closed.",
    )


class Tables(Section):
    """The flow tables that our rules use; each must be higher than the one before."""

    scope: Table = Field(default=0, description="Which packets are watched.")
    redirect: Table = Field(default=1, description="One rule for each erroneous flow.")
    filter: Table = Field(
        default=2, description="What sorts candidates out: connection tracking or bypass rules."
    )
    forward: Table = Field(
        default=3,
        description="Where every packet goes on to: our table of one rule, or with"
        " `forward: table` the first table of another application.",
    )
    meters: Table = Field(
        default=253,
        description="Where candidates become packet-ins, by source prefix; used with"
        " `meters.by: action` only, and the one table whose number may be any other.",
    )

    @model_validator(mode="after")
    def _ascending(self) -> Self:
        if not self.scope < self.redirect < self.filter < self.forward:
            raise ValueError("tables must ascend: scope < redirect < filter < forward")
        if self.meters in (self.scope, self.redirect, self.filter, self.forward):
            raise ValueError("meters must be a table of its own")
        return self


class Scope(Section):
    """Which packets are watched; all others only pass through."""

    ports: tuple[Port, ...] = Field(
        default=(), description="OpenFlow numbers of the ports they come in by; empty: all."
    )
    vlans: tuple[Vlan, ...] = Field(
        default=(), description="VLANs they belong to; empty: all, and untagged."
    )


class Candidates(Section):
    """Where first packets, first replies and ICMP errors leave the switch by.

    Without a port they come as packet-ins over the OpenFlow connection.
    """

    port: Port | None = Field(
        default=None, description="OpenFlow number of the candidate port; empty: packet-ins."
    )
    interface: str | None = Field(
        default=None,
        min_length=1,
        max_length=15,
        description="The interface of this machine that the candidate port leads to.",
    )
    detectors: int = Field(
        default=0,
        ge=0,
        le=MOST_RINGS,
        description="How many processes of their own judge them (docs/scaling.md); 0: the"
        " controller does.",
    )

    @model_validator(mode="after")
    def _both_or_none(self) -> Self:
        if (self.port is None) != (self.interface is None):
            raise ValueError("port and interface go together")
        if self.detectors and self.port is None:
            raise ValueError("detectors need a candidate port: packet-ins cannot be spread")
        return self


class Redirect(Section):
    """The rules that copy erroneous flows to the logger."""

    idle_timeout: Duration = Field(
        default=60 * 10**9,
        description="A rule that matched nothing for so long is removed by the switch; it is"
        " installed again when its flow's client speaks again. Whole seconds.",
    )
    max_rules: int | None = Field(
        default=None,
        ge=1,
        description="The budget: at most so many redirect rules in the switch. From three quarters"
        " of it on rules are aggregated; what finds no room after all is counted. Empty: what the"
        " switch says that its table can hold, 10000 at most, or 1000 where it does not say.",
    )

    @model_validator(mode="after")
    def _seconds(self) -> Self:
        _whole_seconds(self.idle_timeout)
        return self


class Conntrack(Section):
    """Settings of the conntrack pipeline."""

    zone: int = Field(
        default=0xC4A1,
        ge=0,
        le=65535,
        json_schema_extra=LIVE,
        description="The connection tracking zone that is ours. Bridges of one Open vSwitch share"
        " its tracker: each needs another zone.",
    )
    datapath: Literal["netdev", "system"] | None = Field(
        default=None,
        description="Where Open vSwitch runs on this machine, its datapath (`netdev` in user"
        " space, `system` in the kernel): we set the zone's limit and timeouts there, which"
        " OpenFlow cannot. Empty: they are set by hand (docs/floods.md).",
    )
    limit: int = Field(
        default=500_000,
        ge=1,
        le=0xFFFFFFFF,
        description="Connections that the zone tracks at most; the packets of others are"
        " forwarded, and are candidates all.",
    )
    timeouts: dict[TrackerTimeout, int] = Field(
        default={},
        description="Seconds without a packet until the tracker forgets a connection, by Open"
        " vSwitch's names, in place of those that follow from `idle_timeout`.",
    )


class Meters(Section):
    """Packet-ins are limited in the switch: what it may send, per second, by where it comes from.

    Forwarding is never limited.
    """

    by: Literal["action", "controller", "none"] | None = Field(
        default=None,
        description="`action`: Open vSwitch's meters of single packet-in actions, fair by source"
        " prefix. `controller`: OpenFlow's virtual meter of all packet-ins, those of other"
        " applications included. `none`. Empty: `action` where the pipeline is conntrack and"
        " candidates are packet-ins, else `none`.",
    )
    rate: int = Field(
        default=10_000,
        ge=16,
        le=10_000_000,
        description="Packet-ins per second; half of them for sources inside, half for those"
        " outside, and each half for four groups of prefixes. First replies have the same again.",
    )
    first: int = Field(
        default=0xC4A1,
        ge=1,
        le=0xFFFF0000 - 16,
        description="Number of the first of up to sixteen meters that are ours.",
    )


class Reactive(Section):
    """Settings of the reactive pipeline."""

    granularity: Literal["flow", "service"] = Field(
        default="flow",
        description="What one bypass rule pair stands for: a flow, or a service (the internal"
        " address, protocol and port) to spare rules; a service's later failures go unseen while"
        " its bypass lives.",
    )
    idle_timeout: Duration | None = Field(
        default=None,
        description="A bypass that matched nothing for so long is removed; empty: the flows'"
        " idle timeout. Whole seconds.",
    )

    @model_validator(mode="after")
    def _seconds(self) -> Self:
        if self.idle_timeout is not None:
            _whole_seconds(self.idle_timeout)
        return self


def _whole_seconds(nanoseconds: int) -> None:
    if nanoseconds % 10**9 or nanoseconds > 65535 * 10**9:
        raise ValueError("OpenFlow counts whole seconds, 65535 at most")


class Switch(Section):
    """One OpenFlow 1.3 switch that we watch by."""

    name: str = Field(
        default="switch",
        pattern=r"^[A-Za-z0-9._-]{1,63}$",
        description="What logs call it.",
    )
    dp_id: DatapathId = Field(
        description="Its datapath id in hexadecimal, as `ovs-vsctl get bridge br0 datapath_id`"
        " shows it."
    )
    certificate: str | None = Field(
        default=None,
        min_length=1,
        json_schema_extra=LIVE,
        description="The name that its certificate must bear (a DNS name or the common name), so"
        " that no switch can pose as another; empty: any that is signed by `openflow.tls.ca`.",
    )
    pipeline: Literal["conntrack", "reactive"] = Field(
        description="`conntrack`: Open vSwitch's connection tracking sorts packets in the"
        " datapath. `reactive`: any OpenFlow 1.3 switch; the controller installs a bypass for"
        " every answered flow."
    )
    forward: Literal["normal", "none", "table"] = Field(
        default="normal",
        json_schema_extra=LIVE,
        description="What happens to every packet after we have had our copies: `normal`: switched"
        " as by a learning switch (inline); `none`: dropped (a mirror or tap port feeds us);"
        " `table`: handed on to `tables.forward`, which another application owns.",
    )
    logger_port: Port = Field(
        description="OpenFlow number of the port that erroneous packets are copied to."
    )
    candidates: Candidates = Field(
        default=Candidates(), description="Where candidate packets leave the switch by."
    )
    snaplen: int = Field(
        default=128,
        ge=96,
        le=9216,
        description="Bytes of a packet that leave the switch at most.",
    )
    truncate: bool | None = Field(
        default=None,
        description="Cut packets to snaplen at ports too, by an Open vSwitch extension; empty:"
        " where the pipeline is conntrack. Packet-ins are always cut.",
    )
    scope: Scope = Field(
        default=Scope(), json_schema_extra=LIVE, description="Which packets are watched."
    )
    tables: Tables = Field(default=Tables(), description="The flow tables that our rules use.")
    redirect: Redirect = Field(default=Redirect(), description="Rules for erroneous flows.")
    conntrack: Conntrack = Field(
        default=Conntrack(), description="Settings of the conntrack pipeline."
    )
    reactive: Reactive = Field(default=Reactive(), description="Settings of the reactive pipeline.")
    meters: Meters = Field(default=Meters(), description="How packet-ins are limited.")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.pipeline == "conntrack" and self.truncate is False:
            raise ValueError("the conntrack pipeline needs Open vSwitch, which can truncate")
        if self.pipeline == "reactive" and self.candidates.port is not None:
            raise ValueError("the reactive pipeline takes its candidates as packet-ins")
        if self.candidates.detectors and self.snaplen > MOST_SNAPLEN:
            raise ValueError(f"with detectors snaplen is at most {MOST_SNAPLEN}")
        if self.candidates.port == self.logger_port:
            raise ValueError("logger_port and candidates.port must differ")
        if self.pipeline == "reactive" and self.conntrack.datapath is not None:
            raise ValueError("the reactive pipeline tracks no connections: conntrack.datapath")
        if self.meters.by is not None and self.meters.by != "none" and self.candidates.port:
            raise ValueError("meters are for packet-ins, but candidates.port is set")
        return self

    @property
    def meters_by(self) -> str:
        """What limits packet-ins: ``action``, ``controller`` or ``none``."""
        if self.meters.by is not None:
            return self.meters.by
        by_action = self.pipeline == "conntrack" and self.candidates.port is None
        return "action" if by_action else "none"

    @property
    def truncates(self) -> bool:
        """Whether copies to ports are cut in the switch."""
        return self.pipeline == "conntrack" if self.truncate is None else self.truncate


class Spool(Section):
    """Where records wait on disk when the logger is away for long; they hold addresses."""

    directory: Path = Field(
        default=Path("/var/lib/chamaleonet/spool"),
        description="The controller's own; made with mode 0700.",
    )
    size: Size = Field(default=256 << 20, description="It grows to so much at most.")


class Stream(Section):
    """How verdicts travel: the controller listens, the logger (or another consumer) connects."""

    address: str = Field(
        default="unix:/run/chamaleonet/verdicts.sock",
        pattern=r"^(unix:/.+|tcp:.+:\d+)$",
        description="`unix:PATH` (made with mode 0600) or `tcp:ADDRESS:PORT`, which needs `tls`.",
    )
    tls: Tls | None = Field(default=None, description="Certificates, for `tcp:` addresses.")
    group: str | None = Field(
        default=None,
        min_length=1,
        description="A group whose members may connect as well to a `unix:` address, which then has"
        " mode 0660: that of the logger, where it runs as another user.",
    )
    queue: int = Field(
        default=100_000,
        ge=1,
        le=10_000_000,
        description="Records that wait in memory for the logger's acknowledgement at most; what"
        " exceeds it goes to the spool.",
    )
    spool: Spool | None = Field(
        default=Spool(), description="Where records wait on disk; `null`: nowhere."
    )
    others: tuple[Annotated[str, Field(pattern=r"^(unix:/.+|tcp:.+:\d+)$")], ...] = Field(
        default=(),
        description="Addresses of other controllers' streams: the logger connects to the one that"
        " speaks, which is the master's.",
    )

    @model_validator(mode="after")
    def _encrypted(self) -> Self:
        if self.address.startswith("tcp:"):
            _endpoint(self.address.removeprefix("tcp:"))
            if self.tls is None:
                raise ValueError("a stream over TCP needs tls")
            if self.group is not None:
                raise ValueError("group is for a Unix socket")
        elif self.tls is not None:
            raise ValueError("tls is for a stream over TCP")
        return self


class Checkpoint(Section):
    """Where live flows are kept for a controller that follows this one; they hold addresses."""

    directory: Path = Field(
        default=Path("/var/lib/chamaleonet/checkpoint"),
        description="The controller's own; made with mode 0700.",
    )
    interval: Duration = Field(
        default=10**9,
        description="How often all flows are saved. Verdicts are saved at once; flows that were"
        " opened since and not judged yet are lost when the controller is killed.",
    )
    flows: int = Field(
        default=100_000,
        ge=1,
        description="At most so many flows of a switch are saved, 128 bytes each; healthy ones are"
        " left out first.",
    )


class Etcd(Section):
    """A lease in etcd, by its version 3 API."""

    servers: tuple[Annotated[str, Field(pattern="^https?://.+")], ...] = Field(
        min_length=1, description="Where its servers are: `http://ADDRESS:2379` or `https://`."
    )
    key: str = Field(default="chamaleonet/master", min_length=1, description="The key to hold.")
    tls: Tls | None = Field(default=None, description="Certificates, for `https:` servers.")


class Kubernetes(Section):
    """A lease of Kubernetes (coordination.k8s.io/v1)."""

    server: str = Field(
        default="https://kubernetes.default.svc",
        pattern="^https?://.+",
        description="Where the API server is.",
    )
    namespace: str = Field(default="default", min_length=1, description="The lease's namespace.")
    name: str = Field(default="chamaleonet", min_length=1, description="The lease's name.")
    token: Path | None = Field(
        default=Path("/var/run/secrets/kubernetes.io/serviceaccount/token"),
        description="A service account's token that may get, create and update leases.",
    )
    ca: Path | None = Field(
        default=Path("/var/run/secrets/kubernetes.io/serviceaccount/ca.crt"),
        description="The authority that the API server's certificate must be signed by.",
    )


class Priority(Section):
    """Two nodes that watch each other by `peer`, without a service."""

    value: int = Field(
        ge=0, le=1 << 31, description="The other node has another one; the higher one goes first."
    )
    preempt: Duration | None = Field(
        default=None,
        description="After so long as standby take over from a master of lower priority; empty:"
        " never, so that a node which comes back changes nothing.",
    )


class HighAvailability(Section):
    """A second controller that stands by (docs/high-availability.md)."""

    identity: str = Field(
        default="",
        description="This node's name in the election; empty: the name of the host.",
    )
    lease: Duration = Field(
        default=5 * 10**9,
        ge=2 * 10**9,
        description="How long a master that is not heard of any more stays it. Whole seconds.",
    )
    etcd: Etcd | None = Field(default=None, description="Elect by etcd.")
    kubernetes: Kubernetes | None = Field(default=None, description="Elect by Kubernetes.")
    priority: Priority | None = Field(default=None, description="Elect by priority.")
    listen: str = Field(
        pattern=r"^(unix:/.+|tcp:.+:\d+)$",
        description="Where this node tells the other one its flows: `unix:PATH` or"
        " `tcp:ADDRESS:PORT`, which needs `tls`.",
    )
    peer: str = Field(
        pattern=r"^(unix:/.+|tcp:.+:\d+)$", description="Where the other node listens."
    )
    tls: Tls | None = Field(default=None, description="Certificates, for `tcp:` addresses.")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        ways = (self.etcd, self.kubernetes, self.priority)
        if sum(way is not None for way in ways) != 1:
            raise ValueError("one of etcd, kubernetes and priority elects the master")
        _whole_seconds(self.lease)
        for address in (self.listen, self.peer):
            if address.startswith("tcp:"):
                _endpoint(address.removeprefix("tcp:"))
                if self.tls is None:
                    raise ValueError("flows over TCP need tls")
        return self


class Rotation(Section):
    """When files are complete and others are begun."""

    time: Duration = Field(
        default=3600 * 10**9,
        description="At each whole multiple of this since 1970 UTC; one hour at most, so that a"
        " folder holds what its name says.",
    )
    size: Size = Field(default=1 << 30, description="When a file has this size.")

    @model_validator(mode="after")
    def _within_the_hour(self) -> Self:
        if self.time > 3600 * 10**9:
            raise ValueError("time must be at most 1h: there is a folder for each hour")
        return self


class Retention(Section):
    """Which complete files are removed, the oldest first."""

    age: Duration | None = Field(
        default=90 * 86400 * 10**9, description="Those that are older; `null`: none for its age."
    )
    size: Size | None = Field(
        default=20 << 30, description="What exceeds this together; `null`: nothing for its size."
    )


class Anonymise(Section):
    """Which addresses are replaced, before anything is written (docs/privacy.md)."""

    addresses: Literal["internal", "all", "none"] = Field(
        default="internal",
        description="`internal`: those in `internal`; `all`; or `none`. Crypto-PAn keeps prefixes:"
        " two addresses that share n bits share n bits afterwards.",
    )
    key: Path = Field(
        default=Path("/etc/chamaleonet/anonymise.key"),
        description="The key file, made by `chamaleonet keygen`; mode 0600, the logger's own.",
    )
    exclude: tuple[Cidr, ...] = Field(
        default=(), description="Prefixes that are kept as they are, such as public servers."
    )
    macs: Literal["zero", "keep"] = Field(
        default="zero",
        description="MAC addresses, unless no address is replaced: then they are kept.",
    )


def _facility(text: object) -> str:
    if text not in FACILITIES:
        raise ValueError(f"{text!r} is no facility (choose of: {', '.join(FACILITIES)})")
    return str(text)


class Syslog(Section):
    """Verdicts as syslog messages (RFC 5424)."""

    address: str = Field(
        default="unix:/dev/log",
        pattern=r"^(unix:/.+|(udp|tcp):.+:\d+)$",
        description="`unix:PATH`, `udp:HOST:PORT` or `tcp:HOST:PORT` (IPv6 in brackets).",
    )
    verdicts: tuple[Captured, ...] = Field(
        default=ERRONEOUS, description="The verdicts that are told."
    )
    facility: Annotated[
        str, BeforeValidator(_facility), WithJsonSchema({"enum": list(FACILITIES)})
    ] = Field(default="daemon", description="The messages' facility.")


class Logger(Section):
    """The packet logger, a process of its own."""

    interface: str | None = Field(
        default=None,
        min_length=1,
        max_length=15,
        description="The interface of this machine that the logger port leads to.",
    )
    directory: Path = Field(
        default=Path("/var/lib/chamaleonet/log"),
        description="Where it writes, in a folder for each day and hour (UTC).",
    )
    flows: Literal["parquet", "jsonl"] = Field(
        default="parquet",
        description="Format of the flow log.",
    )
    healthy: bool = Field(
        default=True,
        description="Whether healthy flows are counted (docs/flow-log.md); with whom they were is"
        " never told.",
    )
    events: Literal["off", "eve", "ecs"] = Field(
        default="off",
        description="Verdicts and ended flows as JSON Lines in `events.json`, to be followed by log"
        " shippers: with field names as in Suricata's EVE, or by the Elastic Common Schema.",
    )
    compression: Literal["zstd", "none"] = Field(
        default="zstd", description="Of complete pcapng and JSON files; Parquet has its own."
    )
    rotation: Rotation = Field(default=Rotation(), description="When files are complete.")
    retention: Retention = Field(default=Retention(), description="How long files are kept.")
    anonymise: Anonymise = Field(
        default=Anonymise(), description="Which addresses are replaced before they are written."
    )
    syslog: Syslog | None = Field(default=None, description="Verdicts as syslog messages.")


class Visibility(Section):
    """When verdicts are held suspect, because replies are out of sight (docs/visibility.md)."""

    enabled: bool = Field(
        default=True,
        description="Whether to look for it at all; without, all verdicts are taken for sound.",
    )
    interval: Duration = Field(
        default=10**9,
        ge=10**7,
        description="From one look to the next; a third of `timeout` or less, or some verdicts are"
        " told before it is noticed that they are suspect.",
    )
    clients: int = Field(
        default=20,
        ge=4,
        le=2000,
        description="Distinct clients, at least, that anything is concluded from: so many that are"
        " not answered cannot all be to blame.",
    )
    cliff: float = Field(
        default=0.5,
        gt=0,
        lt=1,
        description="Verdicts are suspect when the answered share of clients, that of servers and"
        " the answers per second are all below this part of what is usual.",
    )
    losses: float = Field(
        default=0.01,
        gt=0,
        lt=1,
        description="Verdicts are suspect when more than this part of the candidates are lost"
        " before they are judged.",
    )
    recovery: Duration = Field(
        default=10 * 10**9,
        description="How long answers must be back before verdicts are sound again; never less"
        " than `timeout` and two intervals.",
    )


class Flood(Section):
    """What floods are kept from (docs/floods.md)."""

    new_flows: int | None = Field(
        default=10_000,
        ge=10,
        le=10_000_000,
        description="Flows that are opened per second and switch at most, fairly shared among"
        " source prefixes; the packets of others are shed and counted. `null`: any number.",
    )


class Metrics(Section):
    """Where Prometheus scrapes."""

    controller: Listen = Field(
        default=Endpoint("127.0.0.1", 9302), description="The controller's metrics."
    )
    logger: Listen = Field(
        default=Endpoint("127.0.0.1", 9303), description="The packet logger's metrics."
    )

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        if self.controller == self.logger:
            raise ValueError("controller and logger cannot listen on the same address")
        return self


class Config(Section):
    """The whole configuration; all but ``switches`` has defaults."""

    internal: tuple[Cidr, ...] = Field(
        default=PRIVATE,
        description="The prefixes that are inside: they tell a flow's direction.",
    )
    timeout: Duration = Field(
        default=3 * 10**9,
        json_schema_extra=LIVE,
        description="How long a flow may wait for its first reply.",
    )
    idle_timeout: Duration = Field(
        default=180 * 10**9, description="How long after its last packet a flow is forgotten."
    )
    max_flows: int = Field(
        default=1_000_000, ge=1, le=1 << 27, description="At most so many flows in the flow table."
    )
    capture: tuple[Captured, ...] = Field(
        default=ERRONEOUS, description="The verdicts whose packets are captured."
    )
    openflow: OpenFlow = Field(default=OpenFlow(), description="Where switches connect to.")
    switches: tuple[Switch, ...] = Field(
        default=(), json_schema_extra=LIVE, description="The switches that we watch by."
    )
    logger: Logger = Field(default=Logger(), description="The packet logger.")
    stream: Stream = Field(
        default=Stream(), description="How verdicts travel from the controller to the logger."
    )
    checkpoint: Checkpoint | None = Field(
        default=Checkpoint(),
        description="Live flows on disk, for the next start; `null`: none are kept, and flows end"
        " with the controller.",
    )
    visibility: Visibility = Field(
        default=Visibility(),
        description="When verdicts are held suspect, because replies are out of sight.",
    )
    flood: Flood = Field(default=Flood(), description="What floods are kept from.")
    high_availability: HighAvailability | None = Field(
        default=None, description="A second controller that stands by; empty: there is none."
    )
    metrics: Metrics = Field(default=Metrics(), description="Where Prometheus scrapes.")
    control: Path | None = Field(
        default=None,
        description="The Unix socket (mode 0600) by which `chamaleonet reload` reaches the"
        " controller; empty: beside the stream's socket, with the suffix `.control`, or none where"
        " the stream is TCP.",
    )

    @property
    def control_socket(self) -> Path | None:
        """Where the controller can be reached, if it can."""
        kind, _, path = self.stream.address.partition(":")
        beside = Path(path).with_suffix(".control") if kind == "unix" else None
        return self.control or beside

    @model_validator(mode="after")
    def _can_be_followed(self) -> Self:
        if self.high_availability is not None:
            if self.checkpoint is None:
                raise ValueError("high_availability needs a checkpoint")
            if any(switch.candidates.detectors for switch in self.switches):
                raise ValueError("high_availability and detectors exclude each other")
        return self

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.timeout >= self.idle_timeout:
            raise ValueError("timeout must be shorter than idle_timeout")
        for of in ("dp_id", "name"):
            values = [getattr(switch, of) for switch in self.switches]
            if len(set(values)) < len(values):
                raise ValueError(f"two switches have the same {of}")
        # All bridges of an Open vSwitch share its tracker.
        local = [
            (switch.conntrack.datapath, switch.conntrack.zone)
            for switch in self.switches
            if switch.pipeline == "conntrack" and switch.conntrack.datapath is not None
        ]
        if len(set(local)) < len(local):
            raise ValueError("two switches of one Open vSwitch have the same conntrack.zone")
        if self.openflow.tls is None and any(switch.certificate for switch in self.switches):
            raise ValueError("a switch's certificate needs openflow.tls")
        return self


def load(path: Path | str) -> Config:
    """Read a configuration file.

    Raises:
        UserError: the file cannot be read, is no YAML, or says something that is not allowed; the
            message is ``file:line: field: what is wrong``.
    """
    return yamlfile.read(Path(path), Config)


def dump(config: Config) -> str:
    """Return the effective configuration as YAML, defaults included."""
    text: str = yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, width=100)
    return text


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of the configuration file."""
    schema = Config.model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
