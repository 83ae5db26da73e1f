"""What a soak is judged by, with plain figures."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.soak.judge import growth_an_hour, judge, slope
from tests.soak.plan import FLOOD, due, plan
from tests.soak.results import Leg, Process, SoakSample

MIB = 2**20
HOUR_MS = 3_600_000


def sample(minute: int, *, leg: int = 0, **changes: float) -> SoakSample:
    """A minute of a soak in which 30 hours of event time pass in one."""
    figures = {"rss": 100 * MIB, "descriptors": 50, "threads": 9, "p99_ms": 20, "rows": 7e5}
    figures |= {"partitions": 36, "names": 1_000, **changes}
    return SoakSample(
        at_s=60.0 * minute,
        leg=leg,
        processes={
            "kafka-1 7": Process(
                int(figures["rss"]), int(figures["descriptors"]), int(figures["threads"])
            )
        },
        disk_bytes={},
        rows={"rollups": int(figures["rows"])},
        table_partitions={"rollups": int(figures["partitions"])},
        names={"origin": int(figures["names"])},
        event_ms=minute * HOUR_MS // 2,
        lag=0,
        sent=0,
        dropped=0,
        wrong=0,
        p99_ms=figures["p99_ms"],
    )


def broken(samples: list[SoakSample], legs: list[Leg] | None = None) -> set[str]:
    return {rule.split()[0] for rule, text in judge(samples, legs or []).items() if text}


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


@pytest.mark.parametrize(
    ("rule", "grows"),
    [
        ("memory", lambda minute: {"rss": (100 + minute / 30) * MIB}),
        ("descriptors", lambda minute: {"descriptors": 50 + minute / 20}),
        ("threads", lambda minute: {"threads": 9 + minute / 20}),
        ("tags'", lambda minute: {"p99_ms": 20 + minute / 2}),
        ("tables,", lambda minute: {"rows": 7e5 * (1 + minute / 300)}),
        ("tables,", lambda minute: {"partitions": 36 + minute / 10}),
        ("tables,", lambda minute: {"names": 1_000 + 20 * minute}),
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


def test_a_flood_of_names_that_has_gone_is_no_growth() -> None:
    samples = [sample(minute, names=5_000 if 3 <= minute < 60 else 1_000) for minute in range(150)]
    assert broken(samples) == set()


def test_a_process_that_was_replaced_begins_anew() -> None:
    """Its memory falls and rises again with each leg, and a short life tells nothing."""
    samples = [
        sample(minute, leg=minute // 60, rss=(100 + 0.001 * (minute % 60)) * MIB)
        for minute in range(180)
    ]
    assert broken(samples) == set()
    short = [
        sample(minute, leg=minute // 15, rss=(100 + minute % 15) * MIB) for minute in range(150)
    ]
    assert broken(short) == set()


def test_wrong_lost_and_different_are_named() -> None:
    legs = [
        Leg(started="", counters={"profile_answers": {"empty": 1}}),
        Leg(started="", lost=2),
        Leg(started="", lost=0, differences=3, verified="3 differences"),
    ]
    text = judge([], legs)["nothing is wrong, nothing acknowledged is lost"]
    assert [part.split(":")[0] for part in text.split("; ")] == ["leg 1", "leg 2", "leg 3"]
    assert broken([], [Leg(started="", lost=0, differences=0)]) == {"it"}


def test_what_is_too_short_is_not_kept() -> None:
    text = judge([sample(minute) for minute in range(40)], [])["it is long enough to be judged"]
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
