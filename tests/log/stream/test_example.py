"""The consumer that docs/verdict-stream.md shows."""

import ast
import subprocess
import sys
from pathlib import Path

from chamaleonet.log.stream.endpoint import Endpoint
from tests.log.build import NO_DATA, NO_PACKETS, event
from tests.log.stream.streams import end, number, producer

EXAMPLE = Path(__file__).parents[3] / "docs" / "examples" / "consumer.py"


def test_the_example_prints_verdicts(tmp_path):
    endpoint = Endpoint(f"unix:{tmp_path}/verdicts")
    with producer(endpoint, lambda: number(1)) as stream:
        process = subprocess.Popen(
            [sys.executable, "-I", EXAMPLE, endpoint.path], stdout=subprocess.PIPE, text=True
        )
        with process:
            assert process.stdout.readline() == "active unanswered sound 10.0.0.1 192.0.2.9 1 80\n"
            stream.send(event(number(2)), NO_PACKETS, NO_DATA)
            end(stream, 1)
            assert process.stdout.readline() == "verdict unanswered sound 10.0.0.1 192.0.2.9 2 80\n"
            assert process.stdout.readline() == "flow unanswered sound 10.0.0.1 192.0.2.9 1 80\n"
            stream.close(timeout=10)
            assert process.stdout.read() == ""
        assert process.returncode == 0
        assert not stream.refused.total()


def test_the_example_needs_msgpack_alone():
    modules = [
        name.name if isinstance(node, ast.Import) else node.module
        for node in ast.walk(ast.parse(EXAMPLE.read_text()))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in node.names
    ]
    assert set(modules) - sys.stdlib_module_names == {"msgpack"}


def test_the_example_is_short():
    assert len(EXAMPLE.read_text().splitlines()) <= 25
