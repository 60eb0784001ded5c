from benchmarks.engine_memory import resident
from benchmarks.experiments.catalogue import memory
from benchmarks.experiments.catalogue.memory import engine, growth, packet_ins, replay, replies
from benchmarks.measure import measured
from benchmarks.wire import syns


def test_an_engine_holds_no_more_after_many_generations():
    flows = 20_000
    held = engine(flows, 5)
    assert 128 * flows < held[1] - held[0] < 1000 * flows  # a row at least
    assert growth(held[2:], flows) < 1  # bytes per flow that came


def test_more_flows_take_more():
    few, many = (engine(flows, 1) for flows in (10_000, 40_000))
    assert many[1] - many[0] > 2 * (few[1] - few[0])


def test_the_whole_replay_is_measured_and_not_who_starts_it():
    hog = bytearray(300_000_000)
    hog[::4096] = b"x" * len(hog[::4096])
    assert resident() > 300_000_000
    assert 10_000_000 < replay(1000) < 300_000_000
    assert measured(["true"]).peak_bytes < 100_000_000


def test_growth_is_told_per_flow_that_came():
    assert growth([1000, 2500, 3000], 100) == 10


def test_replies_are_those_of_the_requests():
    there = syns(2, memory.SIZE, 5)
    back = replies(there)
    assert bytes(back[1, 26:38]) == bytes(
        there[1, 30:34].tobytes() + there[1, 26:30].tobytes()
        + there[1, 36:38].tobytes() + there[1, 34:36].tobytes()
    )  # fmt: skip
    assert len(packet_ins(there)) == 2 * (42 + memory.SIZE)
