"""Checks of the machine: what our programs need of it."""

from __future__ import annotations

import stat
import sys
from pathlib import Path

from chamaleonet.doctor.check import Check, Context, Result, Skip, fail, ok, warn
from chamaleonet.errors import UserError
from chamaleonet.flows.records import FLOW
from chamaleonet.log.anonymise.keyfile import read_key
from chamaleonet.tls import server_context
from chamaleonet.units import size_text

PYTHON = (3, 11), (3, 13)
CAP_NET_RAW = 13  # its bit, linux/capability.h
_MEBI = 1 << 20
# Bytes of a flow in the table (record, links, slots), and of its first packet while it is pending.
_FLOW, _FIRST_PACKET = 160, 148
_RECORD = 600  # of the stream's queue
_CANDIDATE_RING, _LOGGER_RING = 32 * _MEBI, 64 * _MEBI
_PROGRAM = 200 * _MEBI  # interpreter and libraries
_LEAST_FREE = 64 * _MEBI
_STEP = 0.1  # seconds that a clock may move while we look


def _python(ctx: Context) -> Result:
    version = ".".join(map(str, ctx.machine.python))
    if PYTHON[0] <= ctx.machine.python <= PYTHON[1]:
        return ok(f"Python {version}")
    return fail(f"Python {version}", "use Python 3.11 to 3.13")


def _processor(ctx: Context) -> Result:
    name, count = ctx.machine.processor
    if name == "x86_64":
        return ok(f"{count} of {name}")
    return warn(
        f"{count} of {name}: kernels are compiled at each start",
        "give the programs a quarter of a minute to start",
    )


def _kernels(ctx: Context) -> Result:
    kernels = ctx.machine.kernels()
    if kernels.directory is None:
        return warn(
            "no folder for compiled kernels can be had: each start compiles",
            "set CACHE_DIRECTORY to a folder that belongs to this user alone",
        )
    if not kernels.compiled:
        return warn(
            f"nothing compiled yet in {kernels.directory}: the first start takes a quarter minute",
            "as the controller's user: chamaleonet replay ANY.pcap",
        )
    return ok(f"compiled, in {kernels.directory}")


def _framework(ctx: Context) -> Result:
    command = (sys.executable, "-c", "import chamaleonet.switch.framework as f; print(f.NAME)")
    answer = ctx.machine.run(*command)
    if answer.status == 0:
        return ok(f"{answer.out.strip()} and eventlet can be imported")
    said = (answer.err.strip() or "it cannot be imported").splitlines()[-1]
    return fail(said, "pip install --force-reinstall chamaleonet (or see docs/ryu.md)")


def _clock(ctx: Context) -> Result:
    clock = ctx.machine.clock()
    if clock.is_synchronised:
        return ok(f"synchronised, {clock.error * 1000:.0f} ms off at most")
    return warn(
        "nothing synchronises the clock: logs of two machines cannot be compared",
        "timedatectl set-ntp true, or install chrony",
    )


def _clock_steps(ctx: Context) -> Result:
    moved = abs(ctx.machine.clock_offset() - ctx.offset) / 1e9
    if moved < _STEP:
        return ok("the clock ran on evenly while this ran")
    return warn(
        f"the clock was set by {moved:.1f} s while this ran: flows are judged too early or late",
        "let it be slewed, not stepped (chrony: makestep 1 3)",
    )


def _memory(ctx: Context) -> Result:
    text = ctx.machine.read("/proc/meminfo")
    if text is None:
        raise Skip("/proc/meminfo cannot be read")
    have = {
        name: int(rest.split()[0]) << 10
        for name, _, rest in (line.partition(":") for line in text.splitlines())
        if rest
    }
    limit = ctx.machine.read("/sys/fs/cgroup/memory.max")
    total, free = have["MemTotal"], have.get("MemAvailable", have["MemTotal"])
    if limit is not None and limit.strip().isdecimal():
        total, free = min(total, int(limit)), min(free, int(limit))
    config, switches = ctx.config, ctx.config.switches
    need = 2 * _PROGRAM + config.stream.queue * _RECORD + _LOGGER_RING
    need += len(switches) * config.max_flows * (_FLOW + _FIRST_PACKET)
    for switch in switches:
        if switch.candidates.interface is not None:
            need += max(1, switch.candidates.detectors) * _CANDIDATE_RING
        need += switch.candidates.detectors * _PROGRAM  # which share out the flows
    found = f"{need // _MEBI} MiB at most are needed, {free // _MEBI} of {total // _MEBI} free"
    if need > total:
        return fail(found, "lower max_flows or stream.queue, or add memory")
    running = any(map(ctx.machine.metrics, (config.metrics.controller, config.metrics.logger)))
    if need > free and not running:  # what runs has its memory already
        return warn(found, "lower max_flows or stream.queue, or end other programs")
    return ok(found)


def _backlog(ctx: Context) -> Result:
    text = ctx.machine.read("/proc/net/softnet_stat")
    if text is None:
        raise Skip("/proc/net/softnet_stat cannot be read")
    dropped = sum(int(line.split()[1], 16) for line in text.splitlines())
    if not dropped:
        return ok("nothing dropped since the machine started")
    limit = ctx.machine.read("/proc/sys/net/core/netdev_max_backlog")
    most = 10 * int(limit) if limit else 10_000
    return warn(
        f"the kernel dropped {dropped} packets before any program saw them",
        f"sysctl -w net.core.netdev_max_backlog={most}",
    )


def _capture(ctx: Context) -> Result:
    if not _interfaces(ctx):
        raise Skip("no interface is configured to be captured from")
    status = ctx.machine.read("/proc/self/status") or ""
    for line in status.splitlines():
        name, _, value = line.partition(":")
        if name == "CapEff" and int(value, 16) >> CAP_NET_RAW & 1:
            return ok(f"user {ctx.machine.user} may capture packets")
    return warn(
        f"user {ctx.machine.user} may not capture packets",
        "run controller and logger as root, or with AmbientCapabilities=CAP_NET_RAW",
    )


def _interfaces(ctx: Context) -> list[str]:
    names = [switch.candidates.interface for switch in ctx.config.switches]
    return [name for name in (*names, ctx.config.logger.interface) if name is not None]


def _key(ctx: Context) -> Result:
    anonymise = ctx.config.logger.anonymise
    if anonymise.addresses == "none":
        raise Skip("addresses are not replaced: no key is needed")
    entry = ctx.machine.entry(anonymise.key)
    if entry is not None and entry.owner != ctx.machine.user:
        mode = stat.S_IMODE(entry.mode)
        if mode != 0o600:
            return fail(f"{anonymise.key}: has mode {mode:04o}", f"chmod 0600 {anonymise.key}")
        raise Skip(f"{anonymise.key}: belongs to user {entry.owner}", "run it as the logger's user")
    try:
        read_key(anonymise.key)
    except UserError as error:
        return fail(*_remedied(error, f"chamaleonet keygen {anonymise.key}"))
    return ok(f"{anonymise.key}: its owner's alone")


def _certificates(ctx: Context) -> Result:
    given = [tls for tls in (ctx.config.openflow.tls, ctx.config.stream.tls) if tls is not None]
    if not given:
        raise Skip("no tls is configured")
    for tls in given:
        if (entry := ctx.machine.entry(tls.key)) is not None and entry.owner != ctx.machine.user:
            raise Skip(f"{tls.key}: belongs to user {entry.owner}", "run it as that user")
        try:
            server_context(tls)
        except UserError as error:
            return fail(*_remedied(error, "see docs/security.md"))
    return ok(", ".join(str(tls.certificate) for tls in given) + ": can be used")


def _remedied(error: UserError, otherwise: str) -> tuple[str, str]:
    """Return what is wrong, and the remedy that its message has in brackets at the end."""
    said, separator, todo = str(error).removesuffix(")").rpartition(" (")
    return (said, todo) if separator else (str(error), otherwise)


def _folders(ctx: Context) -> list[tuple[str, Path]]:
    config, found = ctx.config, []
    found.append(("logger.directory", config.logger.directory))
    if config.stream.spool is not None:
        found.append(("stream.spool.directory", config.stream.spool.directory))
    if config.checkpoint is not None:
        found.append(("checkpoint.directory", config.checkpoint.directory))
    return found


def _directories(ctx: Context) -> Result:
    for key, path in _folders(ctx):
        if not ctx.machine.may_write(path):
            found = f"{key}: user {ctx.machine.user} may not write to {path}"
            if ctx.machine.user:
                raise Skip(found, "run it as the user of controller and logger")
            return fail(found, f"mount it writable, or choose another {key}")
    return ok(", ".join(str(path) for _, path in _folders(ctx)))


def _disk(ctx: Context) -> Result:
    logger, found = ctx.config.logger, []
    for key, path in _folders(ctx):
        free = ctx.machine.free(path)
        wanted = 2 * logger.rotation.size
        if key == "stream.spool.directory" and ctx.config.stream.spool is not None:
            wanted = ctx.config.stream.spool.size
        elif key == "checkpoint.directory" and ctx.config.checkpoint is not None:
            wanted = ctx.config.checkpoint.flows * FLOW.itemsize * len(ctx.config.switches)
        said = f"{path}: {free // _MEBI} MiB free"
        if free < _LEAST_FREE:
            return fail(said, "make room, or lower logger.retention.size")
        if free < wanted:
            todo = f"make room for {size_text(wanted)}, or lower {key.rpartition('.')[0]}'s sizes"
            return warn(said, todo)
        found.append(said)
    return ok(", ".join(found))


def _socket(ctx: Context) -> Result:
    address = ctx.config.stream.address
    kind, _, path = address.partition(":")
    if kind != "unix":
        raise Skip(f"{address} is no Unix socket")
    entry = ctx.machine.entry(Path(path))
    runs = ctx.machine.metrics(ctx.config.metrics.controller) is not None
    if entry is None:
        if runs:
            return fail(f"{path} cannot be seen, and the controller runs", "run it as its user")
        raise Skip("the controller does not run")
    mode = stat.S_IMODE(entry.mode)
    if not stat.S_ISSOCK(entry.mode):
        return fail(f"{path} is no socket", f"mv {path} {path}.old, then start the controller")
    if mode & 0o077:
        return fail(
            f"{path} has mode {mode:04o}: others can read the verdicts", f"chmod 600 {path}"
        )
    return ok(f"{path}, mode {mode:04o}")


SYSTEM = (
    Check("python", "machine", "Python 3.11 to 3.13.", _python),
    Check("processor", "machine", "Compiled kernels are kept on x86-64 only.", _processor),
    Check("kernels", "machine", "They are compiled: else the first start takes long.", _kernels),
    Check("framework", "machine", "os-ken (or Ryu) and eventlet can be imported.", _framework),
    Check("clock", "machine", "It is synchronised: times in logs are compared.", _clock),
    Check("memory", "machine", "The flow tables, queues and rings fit into it.", _memory),
    Check("backlog", "machine", "The kernel drops no packets ahead of our rings.", _backlog),
    Check("capture", "machine", "This user may capture packets (CAP_NET_RAW).", _capture),
    Check("key", "machine", "The key is there, and its owner's alone.", _key),
    Check(
        "certificates",
        "machine",
        "Those of `tls` can be used; keys are their owner's.",
        _certificates,
    ),
    Check("directories", "machine", "Log and spool can be written.", _directories),
    Check("disk", "machine", "There is room for log and spool.", _disk),
    Check("stream", "machine", "The verdict stream's socket is its owner's alone.", _socket),
)
CLOCK_STEPS = Check(
    "clock steps", "machine", "Nobody sets the clock meanwhile: deadlines follow it.", _clock_steps
)
