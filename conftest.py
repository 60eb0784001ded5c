"""As root, each process that runs tests gets a network and an Open vSwitch of its own."""

from __future__ import annotations

from tests.isolation import isolate, stop_switch


def pytest_configure(config):
    runs_tests = hasattr(config, "workerinput") or not config.getoption("numprocesses", None)
    if runs_tests and isolate():
        config.add_cleanup(stop_switch)
