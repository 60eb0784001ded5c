"""What a repository has besides its code: releases, templates, and a make that explains itself."""

import os
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
import yaml

import chamaleonet

ROOT = Path(__file__).parents[1]
TOPOLOGIES = ROOT / "topologies"
BIN = Path(sys.executable).parent
SCHEMAS = {
    "CITATION.cff": "vendor.citation-file-format",
    ".github/workflows/ci.yml": "vendor.github-workflows",
    ".github/workflows/release.yml": "vendor.github-workflows",
    ".github/ISSUE_TEMPLATE/bug.yml": "vendor.github-issue-forms",
    ".github/ISSUE_TEMPLATE/idea.yml": "vendor.github-issue-forms",
    ".github/ISSUE_TEMPLATE/config.yml": "vendor.github-issue-config",
}


@pytest.mark.parametrize("file", SCHEMAS)
def test_a_file_fits_its_schema(file):
    command = [BIN / "check-jsonschema", "--builtin-schema", SCHEMAS[file], ROOT / file]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_file_that_has_a_schema_is_checked():
    found = {str(path.relative_to(ROOT)) for path in (ROOT / ".github").rglob("*.yml")}
    assert found <= SCHEMAS.keys()


def test_the_citation_names_this_version():
    told = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert told["version"] == chamaleonet.__version__


def test_wheel_and_sdist_are_built_and_hold_what_they_must(tmp_path):
    """``make dist`` without an environment of its own, which would be downloaded."""
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", tmp_path, ROOT]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    name = f"chamaleonet-{chamaleonet.__version__}"
    with zipfile.ZipFile(tmp_path / f"{name}-py3-none-any.whl") as wheel:
        held = set(wheel.namelist())
    sources = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "chamaleonet").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert sources <= held
    topologies = {f"chamaleonet/topologies/{path.name}" for path in TOPOLOGIES.glob("*.py")}
    assert len(topologies) > 3
    assert topologies <= held
    assert {path.split("/")[0] for path in held} == {"chamaleonet", f"{name}.dist-info"}
    with tarfile.open(tmp_path / f"{name}.tar.gz") as sdist:
        held = set(sdist.getnames())
    wanted = {"README.md", "LICENSE", "CHANGELOG.md", "pyproject.toml", "tests/reference.py"}
    assert {f"{name}/{path}" for path in wanted | sources} <= held


def test_make_alone_explains_every_target():
    done = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True)
    told = set(re.findall(r"^  make (\w+) +\S", done.stdout, re.MULTILINE))
    public = re.search(r"^\.PHONY: (help .*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert told == set(public[1].split())


def test_what_pre_commit_runs_is_what_lint_runs():
    lint = re.search(r"^lint:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(), re.MULTILINE)[1]
    (repository,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    for hook in repository["hooks"]:
        for tool in re.findall(r"\.venv/bin/(\S+(?: \w+(?:/\w+)*)?)", hook["entry"]):
            assert f"$(BIN)/{tool}" in lint, hook["id"]


def test_the_release_workflow_builds_by_make():
    text = (ROOT / ".github/workflows/release.yml").read_text()
    assert "make dist" in text
    assert ".ci/run" in text


@pytest.mark.parametrize(("tag", "right"), [(chamaleonet.__version__, True), ("9.9.9", False)])
def test_only_a_tag_that_is_the_version_is_released(tag, right):
    jobs = yaml.safe_load((ROOT / ".github/workflows/release.yml").read_text())["jobs"]
    (step,) = [
        each for each in jobs["build"]["steps"] if each.get("name") == "The tag is the version"
    ]
    named = {"GITHUB_REF_NAME": f"v{tag}", "PATH": os.environ["PATH"]}
    done = subprocess.run(["bash", "-e", "-c", step["run"]], cwd=ROOT, env=named)
    assert (done.returncode == 0) is right
