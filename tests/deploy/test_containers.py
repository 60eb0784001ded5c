"""The container files, as far as they can be tried without an engine."""

import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from prometheus_client import CollectorRegistry

from chamaleonet import config, metrics
from tests.test_controller import free_port

ROOT = Path(__file__).parents[2]
CONTAINERS = ROOT / "deploy" / "containers"
BIN = Path(sys.executable).parent
CONTAINERFILE = (CONTAINERS / "Containerfile").read_text()
SERVICES = yaml.safe_load((CONTAINERS / "compose.yaml").read_text())["services"]
PINNED = re.compile(r"\S+:[\w.-]+@sha256:[0-9a-f]{64}")


def run(*command):
    done = subprocess.run(command, capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


def stages():
    """Return the instructions of each stage, by its name."""
    text = re.sub(r"^#.*\n", "", CONTAINERFILE, flags=re.MULTILINE).replace("\\\n", " ")
    found = {}
    for line in filter(None, map(str.strip, text.splitlines())):
        if line.startswith("FROM "):
            _, image, _, name = line.split()
            found[name] = [("FROM", image)]
        else:
            word, _, rest = line.partition(" ")
            found[name].append((word, rest.strip()))
    return found


def test_the_linter_is_content():
    assert run(BIN / "hadolint", CONTAINERS / "Containerfile") == (0, "")


def test_the_compose_file_fits_its_schema():
    schema = ("--builtin-schema", "vendor.compose-spec")
    status, said = run(BIN / "check-jsonschema", *schema, CONTAINERS / "compose.yaml")
    assert status == 0, said


def test_every_image_is_pinned():
    own = set(stages())
    for instructions in stages().values():
        image = instructions[0][1]
        assert image in own or PINNED.fullmatch(image)
    for service in SERVICES.values():
        assert "build" in service or PINNED.fullmatch(service["image"])


def test_every_python_package_is_pinned_to_what_is_asked_for():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = (CONTAINERS / "constraints.txt").read_text().splitlines()
    pins = dict(line.split("==") for line in lines if not line.startswith("#"))
    pins = {canonicalize_name(name): version for name, version in pins.items()}
    for text in project["dependencies"]:
        asked = Requirement(text)
        assert asked.specifier.contains(pins[canonicalize_name(asked.name)]), text


def test_nothing_runs_as_root():
    base = stages()["base"]
    (user,) = [rest for word, rest in base if word == "USER"]
    assert user == "10001:10001"
    order = [word for word, _ in base]
    assert order.index("USER") > max(at for at, word in enumerate(order) if word == "RUN")
    for name in ("controller", "logger"):
        assert {word for word, _ in stages()[name]} == {"FROM", "ENV", "CMD"}
    for name, service in SERVICES.items():
        assert service["user"] not in ("0", "root", "0:0"), name
        assert service["cap_drop"] == ["ALL"]
        assert service["read_only"] is True


@pytest.mark.parametrize("name", ["controller", "logger"])
def test_a_health_check_asks_the_process(name):
    (check,) = [rest for word, rest in stages()["base"] if word == "HEALTHCHECK"]
    _, *command = yaml.safe_load(check.partition("CMD")[2])
    (environment,) = [rest for word, rest in stages()[name] if word == "ENV"]
    variable, _, url = environment.partition("=")
    default = getattr(config.Config().metrics, name)
    assert url == f"http://{default}/metrics"
    endpoint = config.Endpoint("127.0.0.1", free_port())

    def healthy():
        here = os.environ | {variable: f"http://{endpoint}/metrics"}
        return subprocess.run([sys.executable, *command], env=here, stderr=subprocess.PIPE)

    assert healthy().returncode != 0
    stop = metrics.serve(CollectorRegistry(), endpoint)
    try:
        assert healthy().returncode == 0
    finally:
        stop()


def test_every_service_has_a_health_check():
    own = {service for service, told in SERVICES.items() if "healthcheck" in told}
    built = {told["build"]["target"] for told in SERVICES.values() if "build" in told}
    assert own | built == SERVICES.keys() == {"controller", "logger", "prometheus", "grafana"}


def test_what_is_copied_and_mounted_is_there():
    seen = (ROOT / ".dockerignore").read_text().splitlines()
    for word, rest in stages()["build"]:
        if word == "COPY":
            for source in shlex.split(rest)[:-1]:
                assert (ROOT / source).exists()
                assert f"!{source}" in seen
    for service in SERVICES.values():
        for volume in service["volumes"]:
            source = volume.partition(":")[0]
            assert not source.startswith(".") or (CONTAINERS / source).exists(), volume


def test_the_configuration_is_valid_and_all_it_writes_is_on_a_volume():
    settings = config.load(CONTAINERS / "chamaleonet.yaml")
    volumes = [volume.split(":")[1] for volume in SERVICES["logger"]["volumes"]]
    written = [
        settings.stream.address.removeprefix("unix:"), settings.stream.spool.directory,
        settings.logger.directory, settings.logger.anonymise.key,
    ]  # fmt: skip
    for path in map(str, written):
        assert any(path.startswith(f"{volume}/") for volume in volumes), path


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
@pytest.mark.skipif(not shutil.which("setcap"), reason="needs setcap")
def test_the_capability_reaches_python_and_no_further():
    """As the image does it: a copied interpreter, the capability on its file, another user."""
    opens = "import socket; socket.socket(socket.AF_PACKET, socket.SOCK_RAW)"
    held = "print(*[line for line in open('/proc/self/status') if line.startswith('CapEff')])"
    user = ["setpriv", "--reuid=10001", "--regid=10001", "--clear-groups"]
    user += ["--bounding-set=-all,+net_raw"]
    with tempfile.TemporaryDirectory() as place:
        Path(place).chmod(0o755)
        assert run(sys.executable, "-m", "venv", "--copies", "--without-pip", place)[0] == 0
        python = (Path(place) / "bin/python").resolve()
        assert run(*user, python, "-c", opens)[0] != 0
        assert run("setcap", "cap_net_raw=ep", python) == (0, "")
        assert run(*user, python, "-c", opens) == (0, "")
        assert f"{1 << 13:016x}" in run(*user, python, "-c", held)[1]  # CAP_NET_RAW alone
