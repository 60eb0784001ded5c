from chamaleonet.flows.records import Direction, Quality
from chamaleonet.switch.quality import Qualities

IN, OUT = Direction.INBOUND, Direction.OUTBOUND


def test_the_worst_that_any_reason_says_holds_and_changes_alone_are_told():
    told = []
    qualities = Qualities(lambda *change: told.append(change))
    qualities.hold("metered", IN, Quality.DEGRADED)
    qualities.hold("metered", IN, Quality.DEGRADED)
    qualities.hold("blind", IN, Quality.SUSPECT)
    assert (qualities[IN], qualities[OUT]) == (Quality.SUSPECT, Quality.SOUND)
    qualities.hold("metered", IN, Quality.SOUND)
    qualities.hold("blind", IN, Quality.SOUND)
    qualities.hold("never said", IN, Quality.SOUND)
    assert told == [(IN, Quality.DEGRADED), (IN, Quality.SUSPECT), (IN, Quality.SOUND)]


def test_a_prefix_may_be_worse_than_its_direction_but_not_better():
    told = []
    qualities = Qualities(lambda *change: told.append(change))
    qualities.hold("blind", IN, Quality.SUSPECT, 3)
    assert (qualities.of(IN, 3), qualities.of(IN, 2)) == (Quality.SUSPECT, Quality.SOUND)
    assert qualities[IN] is Quality.SOUND
    qualities.hold("metered", IN, Quality.DEGRADED)
    qualities.hold("blind", IN, Quality.SOUND, 3)
    qualities.hold("metered", IN, Quality.SOUND)
    assert told == [
        (IN, Quality.SUSPECT, 3),
        (IN, Quality.DEGRADED), (IN, Quality.SUSPECT, 3),  # for the first went to all
        (IN, Quality.DEGRADED, 3),
        (IN, Quality.SOUND),
    ]  # fmt: skip
