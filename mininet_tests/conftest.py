import pytest

from benchmarks.experiments.__main__ import run
from benchmarks.experiments.result import read
from mininet_tests.harness import Controller, Network, missing


def pytest_collection_modifyitems(items):
    """Mark what is here, and skip it where it cannot run."""
    reason = missing()
    for item in items:
        if "mininet_tests" in item.nodeid:
            item.add_marker(pytest.mark.root)
            if reason:
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="module")
def network(request):
    """A network by the topology that the module is parametrized with."""
    with Network(request.param) as network:
        yield network


@pytest.fixture(scope="module")
def lab(request, tmp_path_factory):
    """A network and a controller: (topology, the switch's settings, others for Controller)."""
    topology, settings, *others = request.param
    with (
        Network(topology) as network,
        Controller(tmp_path_factory.mktemp("lab"), settings, **dict(*others)) as controller,
    ):
        yield network, controller


@pytest.fixture
def rows_of(tmp_path):
    """Return a function that runs an experiment quickly and returns its rows."""

    def rows(name):
        run([name], tmp_path, quick=True)
        assert (tmp_path / f"{name}.svg").stat().st_size > 1000
        return read(tmp_path / f"{name}.json").rows

    return rows
