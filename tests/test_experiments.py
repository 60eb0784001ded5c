"""The framework of the experiments, and those that need no switch."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from benchmarks.experiments import __main__ as program
from benchmarks.experiments import page, result
from benchmarks.experiments.experiment import Chart, Column, Experiment, Published
from benchmarks.experiments.figure import draw
from benchmarks.experiments.names import load, names
from benchmarks.generate import KINDS, shares

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs" / "experiments"

EXPERIMENT = Experiment(
    title="Of cables",
    question="How long is it?",
    method="With a ruler.",
    explains="Theirs was another one.",
    columns=(
        Column(name="cable", title="cable"),
        Column(name="turns", title="turns"),
        Column(name="length", title="length", unit="m"),
        Column(name="copper", title="copper", unit="share"),
    ),
    chart=Chart(kind="line", x="turns", y="length", series=("cable",)),
    published=(
        Published(what="theirs", value=3.5, source="Page 7, https://example.org/cables",
                  column="length", where={"cable": "red", "turns": 2}),
        Published(what="of gold", value="12 m", source="Page 8"),
    ),
    parameters={"rounds": 5, "seed": 1},
    quick={"rounds": 1},
)  # fmt: skip
ROWS = [
    {"cable": "red", "turns": 1, "length": 1234.5, "copper": 0.5},
    {"cable": "red", "turns": 2, "length": 2.25, "copper": None},
    {"cable": "blue", "turns": 1, "length": 0.125, "copper": 1.0},
]


@pytest.fixture
def outcome():
    return result.new("of-cables", EXPERIMENT, False, ROWS)


def test_a_name_that_is_unknown_is_told_in_one_line():
    command = [sys.executable, "-m", "benchmarks.experiments", "no-such"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert "'no-such'" in line
    assert all(name in line for name in names())


def test_all_are_listed_in_a_line_each(capsys):
    assert program.main(["--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == names()
    assert all(line.endswith("?") for line in lines)


def test_without_root_an_experiment_on_a_switch_says_so(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(program, "missing", lambda: "needs root")
    assert program.main(["controller-share", "-o", str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err == "benchmarks.experiments: controller-share: needs root\n"
    assert not (tmp_path / "out").exists()


def test_a_place_that_cannot_be_written_to_is_named(capsys, tmp_path):
    (tmp_path / "file").touch()
    assert program.main(["erroneous-share", "-o", str(tmp_path / "file")]) == 2
    assert str(tmp_path / "file") in capsys.readouterr().err


def test_a_result_file_says_what_and_where_and_is_read_again(outcome, tmp_path):
    path = tmp_path / "of-cables.json"
    outcome.write(path)
    told = json.loads(path.read_text())
    assert told["rows"] == ROWS
    assert told["parameters"] == {"rounds": 5, "seed": 1}
    assert told["experiment"]["published"][0]["value"] == 3.5
    assert told["machine"].keys() == {"cpu", "cores", "kernel", "python", "open_vswitch"}
    assert result.read(path) == outcome


def test_a_quick_run_has_parameters_of_its_own():
    assert EXPERIMENT.settings(quick=True) == {"rounds": 1, "seed": 1}


@pytest.mark.parametrize(
    "change", [{"rows": []}, {"rows": [{"cable": "red"}]}, {"colour": 1}, {"quick": "perhaps"}]
)
def test_a_file_that_is_no_result_is_named(change, outcome, tmp_path, capsys):
    path = tmp_path / "erroneous-share.json"
    path.write_text(json.dumps(json.loads(outcome.model_dump_json()) | change))
    assert program.main(["--draw", "-o", str(tmp_path)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert str(path) in line


@pytest.mark.parametrize(
    "change",
    [
        {"chart": Chart(kind="line", x="turns", y="weight")},
        {"published": (Published(what="", value=1, source="", column="weight"),)},
        {"tabled": {"weight": (1,)}},
        {"quick": {"laps": 1}},
    ],
)
def test_a_description_that_names_what_is_not_there_is_refused(change):
    with pytest.raises(ValidationError, match=r"weight|a full run has not"):
        Experiment.model_validate(EXPERIMENT.model_dump() | change)


def test_the_page_has_the_question_the_command_the_numbers_and_their_source(outcome):
    text = page.section(outcome, "experiments")
    assert "**How long is it?** `python -m benchmarks.experiments of-cables`." in text
    assert "| cable | turns | length, m | copper |\n| --- | ---: | ---: | ---: |" in text
    assert "| red | 1 | 1,234 | 50% |\n| red | 2 | 2.25 |  |\n| blue | 1 | 0.125 | 100% |" in text
    assert "| theirs | 3.5 | 2.25 (red, turns 2) | Page 7, <https://example.org/cables> |" in text
    assert "| of gold | 12 m | not measured | Page 8 |" in text
    assert "![Of cables](experiments/of-cables.svg)" in text
    assert outcome.machine.cpu in text
    assert "rounds 5; seed 1" in text
    assert "quick" not in text


def test_the_page_tells_of_a_quick_run_and_shows_some_rows_of_many(outcome):
    shorter = EXPERIMENT.model_copy(update={"tabled": {"turns": (2,)}})
    quick = outcome.model_copy(update={"quick": True, "experiment": shorter})
    text = page.section(quick, "experiments")
    assert "A quick run" in text
    assert "| red | 2 |" in text
    assert "| red | 1 |" not in text


def test_a_figure_has_the_same_bytes_each_time(outcome, tmp_path):
    for name in ("one.svg", "two.svg"):
        draw(outcome, tmp_path / name)
    one, two = ((tmp_path / name).read_bytes() for name in ("one.svg", "two.svg"))
    assert one == two
    assert b"<dc:date>" not in one


@pytest.mark.parametrize("kind", ["line", "steps", "bar"])
def test_each_kind_of_figure_is_drawn(kind, outcome, tmp_path):
    chart = Chart(kind=kind, x="cable" if kind == "bar" else "turns", y=("length", "copper"))
    experiment = EXPERIMENT.model_copy(update={"chart": chart})
    draw(outcome.model_copy(update={"experiment": experiment}), tmp_path / "figure.svg")
    assert (tmp_path / "figure.svg").read_text().rstrip().endswith("</svg>")


@pytest.mark.parametrize("name", names())
def test_each_experiment_has_been_run_and_its_file_describes_it_as_it_is(name):
    told, experiment = result.read(DOCS / f"{name}.json"), load(name).EXPERIMENT
    described = json.loads(experiment.model_dump_json())  # tuples are lists there
    assert json.loads(told.experiment.model_dump_json()) == described, "run it again, or --draw"
    assert told.parameters == described["parameters"], "run it again"
    assert not told.quick
    assert (DOCS / f"{name}.svg").exists()


def test_no_file_is_left_of_an_experiment_that_is_gone():
    assert {path.stem for path in DOCS.iterdir()} == set(names())


def test_synthetic_kinds_keep_their_proportions():
    few, usual = shares(0.01), shares(0.34)
    assert sum(few.values()) == pytest.approx(1)
    assert usual == pytest.approx({name: kind.share for name, kind in KINDS.items()})
    assert sum(few[name] for name, kind in KINDS.items() if kind.fails) == pytest.approx(0.01)


def test_erroneous_packets_are_fewer_the_longer_flows_are(tmp_path):
    program.run(["erroneous-share"], tmp_path, quick=True)
    rows = result.read(tmp_path / "erroneous-share.json").rows
    made = [row for row in rows if row["source"].startswith("synthetic")]
    by_length = {}
    for row in made:
        assert row["flow_share"] * 100 == pytest.approx(
            float(row["source"].split("%")[0].split()[1]), abs=0.5
        )
        assert row["packet_share"] < row["flow_share"]
        by_length.setdefault(row["length"], []).append(row["packet_share"])
    short, long = (by_length[length] for length in sorted(by_length))
    assert all(a > b for a, b in zip(short, long, strict=True))
    assert short == sorted(short)
    assert long == sorted(long)
