"""`chamaleonet replay` as a user runs it."""

from __future__ import annotations

import gzip
import json
import signal
import struct
import subprocess
import sys
import time

import pyarrow.parquet as pq
import pytest

from chamaleonet.cli import main
from tests.captures import CAPTURES, EXPECTED, needs_captures
from tests.traffic import ACK, SECOND, SYN, Record, ethernet, icmp_error, tcp, udp

CLIENT, SERVER, DEAD = "10.0.0.1", "192.0.2.1", "192.0.2.66"


def pcap(records, link=1):
    """Return the bytes of a pcap file with nanosecond time stamps."""
    return struct.pack("<IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, 262144, link) + b"".join(
        struct.pack("<IIII", *divmod(r.time, SECOND), len(r.data), r.on_wire) + r.data
        for r in records
    )


RECORDS = [
    Record(ethernet(tcp(CLIENT, SERVER, SYN)), 1 * SECOND),
    Record(ethernet(tcp(SERVER, CLIENT, SYN | ACK, sport=80, dport=40000)), 1 * SECOND + 1),
    Record(ethernet(udp(CLIENT, DEAD, payload=b"PLANTED SECRET")), 2 * SECOND, wire_length=900),
    Record(ethernet(udp(CLIENT, DEAD, payload=b"PLANTED SECRET")), 6 * SECOND),
    Record(ethernet(udp(CLIENT, SERVER, dport=9)), 7 * SECOND),
    Record(ethernet(icmp_error(SERVER, udp(CLIENT, SERVER, dport=9))), 8 * SECOND),
]


@pytest.fixture
def capture(tmp_path):
    path = tmp_path / "traffic.pcap"
    path.write_bytes(pcap(RECORDS))
    return path


def run(*arguments, **more):
    """Run the command in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "chamaleonet", "replay", *map(str, arguments)],
        capture_output=True, text=more.pop("text", True), timeout=120, **more,
    )  # fmt: skip


def summary(capsys, *arguments):
    """Run the command here and return the summary it prints."""
    assert main(["replay", "--json", *map(str, arguments)]) == 0
    return json.loads(capsys.readouterr().out)


def test_json_is_the_summary_alone(capture):
    done = run("--json", capture)
    assert (done.returncode, done.stderr) == (0, "")
    told = json.loads(done.stdout)
    assert told["packets"] == 6
    assert told["bytes"] == sum(record.on_wire for record in RECORDS)
    assert {name: count for name, count in told["verdicts"].items() if count} == {
        "answered": 1, "unanswered": 1, "icmp_error": 1,
    }  # fmt: skip
    assert told["captured_packets"] == 4
    assert told["truncated_file"] is False


def test_tables_for_people(capture):
    done = run(capture)
    assert done.returncode == 0
    for words in ("unanswered", "outbound", CLIENT, DEAD, "udp/53", "udp/9"):
        assert words in done.stdout


def test_outputs(capture, tmp_path, capsys):
    packets, parquet, lines = (tmp_path / name for name in ("o.pcapng", "o.parquet", "o.jsonl"))
    summary(capsys, capture, "--write", packets, "--flows", parquet)
    summary(capsys, capture, "--flows", lines)
    rows = pq.read_table(parquet).to_pylist()
    assert [(row["verdict"], row["server"], row["attempts"]) for row in rows] == [
        ("unanswered", DEAD, 2), ("icmp_error", SERVER, 1),
    ]  # fmt: skip
    assert [json.loads(line)["verdict"] for line in lines.read_text().splitlines()] == [
        "unanswered", "icmp_error",
    ]  # fmt: skip
    written = packets.read_bytes()
    assert written.count(b"verdict=unanswered flow=1:") == 2
    assert b"icmp=3/3" in written
    assert b"PLANTED" not in written
    summary(capsys, capture, "--flows", parquet, "--all-flows")
    assert pq.read_table(parquet).num_rows == 3


def test_the_written_packets_are_judged_alike(capture, tmp_path, capsys):
    packets = tmp_path / "o.pcapng"
    summary(capsys, capture, "--write", packets)
    again = summary(capsys, packets)
    assert again["verdicts"]["icmp_error"] == 1
    assert again["bytes"] == sum(record.on_wire for record in RECORDS[2:])


def test_several_files_are_one_stream(tmp_path, capsys):
    first, second = tmp_path / "1.pcap", tmp_path / "2.pcap.gz"
    first.write_bytes(pcap(RECORDS[:1]))
    second.write_bytes(gzip.compress(pcap(RECORDS[1:])))
    assert summary(capsys, first, second)["verdicts"]["answered"] == 1


def test_standard_input(capture):
    done = run("--json", "-", input=capture.read_bytes(), text=False)
    assert json.loads(done.stdout)["packets"] == 6


def test_a_file_that_ends_inside_a_record(capture):
    capture.write_bytes(capture.read_bytes()[:-5])
    done = run("--json", capture)
    told = json.loads(done.stdout)
    assert done.returncode == 0
    assert (told["packets"], told["truncated_file"]) == (5, True)
    assert done.stderr == f"chamaleonet: warning: {capture}: ends inside a record\n"


def test_a_capture_of_one_direction_only(tmp_path, capsys):
    capture = tmp_path / "half.pcap"
    frames = [
        ethernet(tcp(f"10.0.0.{n}", f"192.0.2.{n}", SYN, sport=4000 + n)) for n in range(1, 41)
    ]
    capture.write_bytes(pcap([Record(frame, n * SECOND) for n, frame in enumerate(frames)]))
    assert main(["replay", "--json", str(capture)]) == 0
    told = capsys.readouterr()
    assert json.loads(told.out)["suspect"] == ["outbound"]
    assert json.loads(told.out)["verdicts"]["unanswered"] == 37, "the verdicts are as ever"
    assert "warning: outbound: many clients ask and nobody is answered" in told.err
    answer = ethernet(tcp("192.0.2.40", "10.0.0.40", SYN | ACK, sport=80, dport=4040))
    capture.write_bytes(capture.read_bytes() + pcap([Record(answer, 40 * SECOND)])[24:])
    assert main(["replay", "--json", str(capture)]) == 0
    told = capsys.readouterr()
    assert (json.loads(told.out)["suspect"], told.err) == ([], "")


def test_settings(capture, tmp_path, capsys):
    assert summary(capsys, capture, "--timeout", "7s")["verdicts"]["unanswered"] == 0
    assert summary(capsys, capture, "--internal", "192.0.2.0/24")["directions"]["inbound"][
        "answered"
    ]
    assert summary(capsys, capture, "--max-flows", 1)["evicted"] == 1
    config = tmp_path / "c.yaml"
    config.write_text("timeout: 7s\ncapture: [refused]\n")
    told = summary(capsys, capture, "--config", config)
    assert (told["verdicts"]["unanswered"], told["captured_packets"]) == (0, 1)
    assert summary(capsys, capture, "--config", config, "--timeout", "1s")["verdicts"]["unanswered"]


def test_bad_input(capture, tmp_path, capsys):
    empty, text, strange = (tmp_path / name for name in ("empty", "text", "strange"))
    empty.touch()
    text.write_text("no capture at all, but long enough\n")
    strange.write_bytes(pcap([], link=105))
    old = tmp_path / "old.pcapng"
    old.write_text("kept")
    cases = [
        ([tmp_path / "none"], "none: No such file"),
        ([tmp_path], f"{tmp_path}: Is a directory"),
        ([empty], "empty: empty file"),
        ([text], "text: not a pcap"),
        ([strange], "strange: link type 105 (IEEE802_11)"),
        ([text, "--write", old], "text: not a pcap"),
        ([capture, "--write", tmp_path / "no" / "o.pcapng"], "o.pcapng: cannot write"),
        ([capture, "--write", capture], "used for something else"),
        ([capture, "--flows", tmp_path / "o.csv"], "o.csv"),
        ([capture, "--internal", "10.0.0.0/33"], "--internal"),
        ([capture, "--internal", "10.0.0.1/8"], "host bits"),
        ([capture, "--timeout", "3"], "'3' is not a duration"),
        ([capture, "--timeout", "180s"], "--timeout"),
        ([capture, "--max-flows", "0"], "--max-flows"),
        ([capture, "--config", tmp_path / "none.yaml"], "none.yaml"),
        ([capture, "--all-flows"], "--all-flows"),
        (["-", "-"], "standard input"),
        ([], "FILE"),
        ([capture, "--nonsense"], "--nonsense"),
    ]
    for arguments, words in cases:
        assert main(["replay", "--json", *map(str, arguments)]) == 2
        said = capsys.readouterr()
        assert said.out == ""
        assert said.err.count("\n") == 1, said.err
        assert words in said.err
    assert old.read_text() == "kept"


def test_damage_loses_nothing_that_was_read(capture, tmp_path, capsys):
    good = capture.read_bytes()
    capture.write_bytes(good + struct.pack("<IIII", 9, 0, 0x7FFFFFFF, 60) + bytes(100))
    rows = tmp_path / "rows.jsonl"
    assert main(["replay", "--json", str(capture), "--flows", str(rows)]) == 2
    said = capsys.readouterr()
    assert (said.out, said.err.count("\n")) == ("", 1)
    assert f"{capture}" in said.err
    assert len(rows.read_text().splitlines()) == 2


def test_interrupt(tmp_path):
    """The summary so far, status 130, and outputs that can be read."""
    rows = tmp_path / "rows.jsonl"
    with subprocess.Popen(
        [sys.executable, "-m", "chamaleonet", "replay", "--json", "-", "--flows", str(rows)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        process.stdin.write(pcap(RECORDS))
        process.stdin.flush()
        # The output exists once the command has begun; give it the time to read what is there.
        while not list(tmp_path.glob("rows.jsonl*")):
            time.sleep(0.05)
        time.sleep(3)
        process.send_signal(signal.SIGINT)
        out, err = process.stdout.read(), process.stderr.read()
        assert process.wait(30) == 130
    assert err == b""
    told = json.loads(out)
    assert told["packets"] == 6
    assert len(rows.read_text().splitlines()) == 2


def test_a_reader_that_has_enough(capture):
    done = subprocess.run(
        f"{sys.executable} -m chamaleonet replay {capture} | true",
        shell=True, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert "Traceback" not in done.stderr


def test_help_needs_no_kernels():
    code = (
        "import sys; from chamaleonet.cli import main\n"
        "try: main(['replay', '--help'])\n"
        "finally: assert not {'numba', 'numpy', 'pydantic', 'pyarrow'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stderr == ""
    assert "--idle-timeout" in done.stdout


@needs_captures
@pytest.mark.parametrize("name", CAPTURES)
def test_sample_captures(name, capsys):
    told = summary(capsys, CAPTURES[name])
    assert {key: told[key] for key in EXPECTED[name]} == EXPECTED[name]


@needs_captures
def test_the_contract_is_told_word_for_word():
    told = next(iter(EXPECTED.values()))
    assert set(told) <= set(json.loads(run("--json", next(iter(CAPTURES.values()))).stdout))


def test_what_is_written_and_printed_can_be_anonymised(capture, tmp_path, capsys):
    key = tmp_path / "key"
    assert main(["keygen", str(key)]) == 0
    assert key.stat().st_mode & 0o777 == 0o600
    packets, flows = tmp_path / "out.pcapng", tmp_path / "flows.jsonl"
    outputs = ("--write", str(packets), "--flows", str(flows))
    assert (
        main(["replay", *outputs, "--anonymise", "internal", "--key", str(key), str(capture)]) == 0
    )
    printed = capsys.readouterr().out
    assert CLIENT not in printed
    assert DEAD in printed
    content = packets.read_bytes()
    for host, kept in ((CLIENT, False), (DEAD, True)):
        assert (bytes(map(int, host.split("."))) in content) == kept
    rows = [json.loads(line) for line in flows.read_text().splitlines()]
    assert {row["server"] for row in rows} == {DEAD, SERVER}
    [client] = {row["client"] for row in rows}
    assert client != CLIENT
    assert client in printed
    # The packets are whole: what was written is judged as before.
    assert main(["replay", "--json", "--internal", f"{client}/32", str(packets)]) == 0
    assert json.loads(capsys.readouterr().out)["verdicts"]["icmp_error"] == 1


@pytest.mark.parametrize("options", [["--anonymise", "all"], ["--key", "key"]])
def test_anonymisation_needs_a_key_and_a_choice(capture, capsys, options):
    assert main(["replay", *options, str(capture)]) == 2
    assert "--anonymise and --key go together" in capsys.readouterr().err


def test_a_key_that_others_can_read_is_refused(capture, tmp_path, capsys):
    key = tmp_path / "key"
    assert main(["keygen", str(key)]) == 0
    assert main(["keygen", str(key)]) == 2, "nothing is overwritten"
    key.chmod(0o640)
    arguments = ["--anonymise", "all", "--key", str(key), "--write", str(tmp_path / "out.pcapng")]
    assert main(["replay", *arguments, str(capture)]) == 2
    assert str(key) in capsys.readouterr().err
    assert not (tmp_path / "out.pcapng").exists()
