import pytest

from benchmarks import floods
from benchmarks.experiments.catalogue.flood_capture import Flow, flows
from mininet_tests.harness import ends_of


@pytest.mark.parametrize(("kind", "spared"), [("outside", "inside"), ("inside", "outside")])
def test_shedding_spares_the_side_that_the_flood_does_not_come_from(kind, spared):
    with_it, without = (floods.run(kind, 50_000, sheds=sheds, seconds=4) for sheds in (True, False))
    assert getattr(with_it, spared) > 0.98
    assert getattr(without, spared) < 0.9
    assert with_it.events < without.events


def test_without_a_flood_worth_the_name_all_is_judged():
    result = floods.run("outside", 1000, sheds=True, seconds=2)
    assert (result.inside, result.outside, result.shed) == (1, 1, 0)


def test_ordinary_flows_come_from_both_sides():
    found = flows(floods.ordinary(0))
    assert [flow.is_inside for flow in found] == [True, True, False, False]
    host, frame = found[0].syn()
    assert host == "client"
    assert ends_of(frame) == tuple(end.to_bytes(4, "big") for end in found[0][:2])
    assert Flow(*found[2]).syn()[0] == "server"
