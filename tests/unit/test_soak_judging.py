"""What a soak is judged by, with plain figures."""

import random
from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.soak.judge import growth_an_hour, judge, slope
from tests.soak.plan import FLOOD, due, plan
from tests.soak.results import Event, Leg, Process, Soak, SoakSample

MIB = 2**20
HOUR_MS = 3_600_000


FLOOD_MINUTE = 3
TAGS_A_MINUTE = 12_000
ANSWERED = {"aggregate_answers": {"ok": 1_700}, "tags": {"sent": 1_800_000}}


def sample(minute: int, *, leg: int = 1, part: str = "case12 7", **changes: float) -> SoakSample:
    """A minute of a soak in which half an hour of event time passes, and a log that grows."""
    flooded = FLOOD_MINUTE <= minute < 60
    figures = {"rss": 100 * MIB, "descriptors": 50, "threads": 9, "p99_ms": 20, "rows": 7e5}
    figures |= {"partitions": 36, "names": 5_000 if flooded else 1_000, "dropped": 0, "logs": 50}
    figures |= {"bytes_a_tag": 500, **changes}
    log_bytes = int(minute * TAGS_A_MINUTE * figures["bytes_a_tag"])
    return SoakSample(
        at_s=60.0 * minute,
        leg=leg,
        processes={
            part: Process(
                int(figures["rss"]), int(figures["descriptors"]), int(figures["threads"])
            ),
            "redis-1 8": Process(log_bytes, 20, 5),
        },
        disk_bytes={"data/kafka-1": log_bytes, "logs": int(figures["logs"] * MIB)},
        rows={"rollups": int(figures["rows"])},
        table_partitions={"rollups": int(figures["partitions"])},
        names={"origin": int(figures["names"])},
        event_ms=minute * HOUR_MS // 2,
        lag=0,
        sent=minute * TAGS_A_MINUTE,
        dropped=int(figures["dropped"]),
        wrong=0,
        p99_ms=figures["p99_ms"],
    )


GOOD_LEG = Leg(started="", counters=ANSWERED, lost=0, differences=0)
GOOD_EVENTS = (Event(180.0, FLOOD), Event(900.0, "deploy"))


def judged(
    samples: list[SoakSample],
    legs: list[Leg] | None = None,
    events: Sequence[Event] = GOOD_EVENTS,
    planned: Sequence[str] = (FLOOD, "deploy"),
) -> Mapping[str, str]:
    soak = Soak(
        about={"stack": "dev"},
        next_start_ms=0,
        samples=samples,
        legs=[GOOD_LEG] if legs is None else legs,
        events=list(events),
    )
    return judge(soak, planned)


def broken(
    samples: list[SoakSample],
    legs: list[Leg] | None = None,
    events: Sequence[Event] = GOOD_EVENTS,
) -> set[str]:
    return {rule.split()[0] for rule, text in judged(samples, legs, events).items() if text}


def test_a_steady_soak_keeps_every_rule() -> None:
    rng = random.Random(1)
    noisy = [
        sample(minute, rss=(100 + rng.uniform(-3, 3)) * MIB, p99_ms=rng.uniform(15, 25))
        for minute in range(150)
    ]
    assert broken(noisy) == set()
    # What starting takes is no growth.
    starting = [sample(minute, rss=(50 + min(minute, 50)) * MIB) for minute in range(150)]
    assert broken(starting) == set()


def test_a_soak_under_two_hours_may_still_settle() -> None:
    def growing(an_hour: float, minutes: int) -> list[SoakSample]:
        return [
            sample(minute, rss=(1 + an_hour * minute / 60) * 100 * MIB) for minute in range(minutes)
        ]

    assert broken(growing(0.02, minutes=110)) == set()
    assert broken(growing(0.05, minutes=110)) == {"memory"}
    assert broken(growing(0.02, minutes=150)) == {"memory"}


@pytest.mark.parametrize(
    ("rule", "grows"),
    [
        ("memory", lambda minute: {"rss": (100 + minute / 30) * MIB}),
        ("descriptors", lambda minute: {"descriptors": 50 + minute / 20}),
        ("threads", lambda minute: {"threads": 9 + minute / 20}),
        ("tags'", lambda minute: {"p99_ms": 20 + minute / 2}),
        ("tables,", lambda minute: {"rows": 7e5 * (1 + minute / 300)}),
        ("tables,", lambda minute: {"partitions": 36 + minute / 10}),
        ("logs", lambda minute: {"bytes_a_tag": 500 + 2 * minute}),
        ("disk", lambda minute: {"logs": 50 + 2 * minute}),
        ("what", lambda minute: {"dropped": 0.002 * TAGS_A_MINUTE * minute}),
    ],
)
def test_each_kind_of_growth_is_found(rule: str, grows: object) -> None:
    assert callable(grows)
    rng = random.Random(2)
    samples = []
    for minute in range(150):
        changes = {key: value * rng.uniform(0.998, 1.002) for key, value in grows(minute).items()}
        samples.append(sample(minute, **changes))
    assert broken(samples) == {rule}


def test_names_that_stay_are_found() -> None:
    def grown(minute: int) -> float:
        return 5_000 if FLOOD_MINUTE <= minute < 60 else 1_000 + 20 * minute

    growing = [sample(minute, names=grown(minute)) for minute in range(150)]
    assert broken(growing) == {"tables,", "a"}
    staying = [sample(minute, names=5_000 if minute >= 3 else 1_000) for minute in range(150)]
    assert broken(staying) == {"a"}
    no_trace = [sample(minute, names=1_000) for minute in range(150)]
    assert broken(no_trace) == {"a"}


def test_a_process_that_was_replaced_warms_up_anew() -> None:
    """Its memory rises again for an hour at most; a short life tells nothing."""
    replaced = [
        sample(
            minute,
            part=f"case12 {minute // 100}",
            rss=(50 + min(minute % 100, 45)) * MIB,
        )
        for minute in range(200)
    ]
    assert broken(replaced) == set()
    growing = [
        sample(minute, part=f"case12 {minute // 100}", rss=(50 + minute % 100) * MIB)
        for minute in range(200)
    ]
    assert broken(growing) == {"memory"}
    short = [
        sample(minute, part=f"case12 {minute // 15}", rss=(100 + minute % 15) * MIB)
        for minute in range(150)
    ]
    assert broken(short) == set()


def test_what_fills_the_memory_it_was_given_does_not_leak() -> None:
    def filling(most_mib: int) -> list[SoakSample]:
        return [
            sample(minute, part="mariadb-1 9", rss=most_mib * minute / 149 * MIB)
            for minute in range(150)
        ]

    # A buffer pool of 512 MiB on dev, and what the server needs.
    assert broken(filling(700)) == set()
    assert broken(filling(900)) == {"memory"}


def test_what_was_not_compared_wrong_lost_and_different_are_named() -> None:
    legs = [
        Leg(started="", counters={"profile_answers": {"empty": 1}}, lost=0, differences=0),
        Leg(started="", lost=2, differences=0),
        Leg(started="", lost=0, differences=3, verified="3 differences"),
        Leg(started=""),
    ]
    text = judged([], legs)["nothing is wrong, nothing acknowledged is lost"]
    assert [part.split(":")[0] for part in text.split("; ")] == [
        "leg 1",
        "leg 2",
        "leg 3",
        "leg 4 was not compared with its log",
    ]


def test_aggregates_must_have_been_asked_for() -> None:
    few = {"aggregate_answers": {"ok": 100}, "tags": {"sent": 1_800_000}}
    samples = [sample(minute) for minute in range(150)]
    assert broken(samples, [Leg(started="", counters=few, lost=0, differences=0)]) == {"what"}


def test_steps_that_failed_or_never_began_are_named() -> None:
    samples = [sample(minute) for minute in range(150)]
    events = (Event(180.0, FLOOD), Event(900.0, "rebuild aggregates", "exit status 1", failed=True))
    found = judged(samples, events=events, planned=(FLOOD, "rebuild aggregates", "deploy"))
    assert found["every step was done"] == "rebuild aggregates: exit status 1; deploy: not done"


def test_drops_beside_a_fault_are_its_own() -> None:
    samples = [sample(minute, dropped=5_000 if minute >= 16 else 0) for minute in range(150)]
    assert broken(samples) == set()
    assert broken(samples, events=GOOD_EVENTS[:1]) == {"what", "every"}


def test_what_is_too_short_is_not_kept() -> None:
    text = judged([sample(minute) for minute in range(40)])["it is long enough to be judged"]
    assert text == "0 samples with a full day of event time, at least 20"


@given(
    st.floats(-5, 5),
    st.floats(-1_000, 1_000),
    st.lists(st.integers(0, 10_000), min_size=5, max_size=60, unique=True),
    st.data(),
)
def test_the_slope_is_that_of_the_line_whatever_a_few_points_do(
    rise: float, start: float, times: list[int], data: st.DataObject
) -> None:
    points = [(float(time), start + rise * time) for time in sorted(times)]
    far = data.draw(st.sets(st.integers(0, len(points) - 1), max_size=len(points) // 10))
    for at in far:
        points[at] = points[at][0], 1e9
    assert slope(points) == pytest.approx(rise, abs=1e-6)


def test_growth_is_of_what_there_is() -> None:
    points = [(minute * 60.0, 100.0 + minute / 60) for minute in range(121)]
    assert growth_an_hour(points) == pytest.approx(1 / 101)
    assert growth_an_hour([(0.0, 0.0), (1.0, 0.0)]) == 0


def test_a_plan_is_the_same_again_and_each_step_is_done_once() -> None:
    steps = plan(9_000, ["a", "b", "c"], 1)
    assert steps == plan(9_000, ["a", "b", "c"], 1)
    names = [step.what for step in steps]
    assert {names.count(what) for what in ("deploy", "rebuild aggregates", FLOOD)} == {1}
    assert sum(name in "abc" for name in names) == 14
    # Interrupted and begun anew at any time, as often as one likes.
    done: list[str] = []
    for now_s in range(0, 9_000, 7):
        while (step := due(steps, done, now_s)) is not None:
            assert step.at_s <= now_s
            done.append(step.what)
    assert done == names
