"""What a soak is judged by, with plain figures."""

import random
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.soak.growth import growth_an_hour, rise, slope
from tests.soak.judge import judge
from tests.soak.plan import FLOOD, MAX_NAMES, NEW_NAME, due, plan
from tests.soak.results import Asked, Event, Leg, Process, Soak, SoakSample

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
    figures |= {"bytes_a_tag": 500, "processes": 1, "asked": 12 * minute}
    figures |= {"right": 12 * minute, **changes}
    log_bytes = int(minute * TAGS_A_MINUTE * figures["bytes_a_tag"])
    return SoakSample(
        at_s=60.0 * minute,
        leg=leg,
        processes={
            **{
                f"{part}{number or ''}": Process(
                    int(figures["rss"]), int(figures["descriptors"]), int(figures["threads"])
                )
                for number in range(int(figures["processes"]))
            },
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
        aggregates=Asked(int(figures["asked"]), int(figures["right"])),
        profiles=Asked(TAGS_A_MINUTE // 10 * minute, TAGS_A_MINUTE // 10 * minute),
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


def test_rows_are_not_compared_while_a_rebuild_makes_their_number_unknown() -> None:
    def dip(minute: int) -> float:
        # After the rebuild few are known, and all again once each hour is another one.
        return min(7e5, 1e5 + 1e4 * max(0, minute - 60)) if minute >= 60 else 7e5

    dipping = [sample(minute, rows=dip(minute)) for minute in range(150)]
    rebuild = Event(3_600.0, "rebuild aggregates")
    rebuild.until_s = 3_700.0
    rule = "tables, partitions and names are bounded"
    assert judged(dipping)[rule]
    assert not judged(dipping, events=(*GOOD_EVENTS, rebuild))[rule]
    grown = [sample(minute, rows=7e5 * (1 + max(0, minute - 120) / 60)) for minute in range(150)]
    assert judged(grown, events=(*GOOD_EVENTS, rebuild))[rule]


def test_names_that_stay_are_found() -> None:
    def grown(minute: int) -> float:
        return 5_000 if FLOOD_MINUTE <= minute < 60 else 1_000 + 20 * minute

    growing = [sample(minute, names=grown(minute)) for minute in range(150)]
    assert broken(growing) == {"tables,", "a"}
    staying = [sample(minute, names=5_000 if minute >= 3 else 1_000) for minute in range(150)]
    assert broken(staying) == {"a"}
    for most in (1_000, MAX_NAMES - 1):
        not_full = [
            sample(minute, names=most if FLOOD_MINUTE <= minute < 60 else 1_000)
            for minute in range(150)
        ]
        assert broken(not_full) == {"a"}


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
    assert broken(growing) == {"memory", "restarts"}
    short = [
        sample(minute, part=f"case12 {minute // 15}", rss=(100 + minute % 15) * MIB)
        for minute in range(150)
    ]
    assert broken(short) == set()


@pytest.mark.parametrize(
    ("part", "within_mib", "beyond_mib"),
    [
        # A buffer pool of 512 MiB on dev, and what the server needs.
        ("mariadb-1 9", 700, 900),
        ("raylet 9", 47, 60),
    ],
)
def test_what_fills_the_memory_it_was_given_does_not_leak(
    part: str, within_mib: int, beyond_mib: int
) -> None:
    def filling(most_mib: int) -> list[SoakSample]:
        return [
            sample(minute, part=part, rss=most_mib * minute / 149 * MIB) for minute in range(150)
        ]

    assert broken(filling(within_mib)) == set()
    assert broken(filling(beyond_mib)) == {"memory", "restarts"}


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


def test_a_step_is_found_that_no_slope_shows() -> None:
    def stepped(**changes: tuple[float, float]) -> set[str]:
        samples = []
        for minute in range(150):
            figures = {what: pair[minute >= 125] for what, pair in changes.items()}
            samples.append(sample(minute, leg=1, part="case12 7", **figures))
        return broken(samples)

    assert stepped(descriptors=(50, 53), threads=(9, 12), rss=(100 * MIB, 101 * MIB)) == set()
    assert stepped(descriptors=(50, 54)) == {"descriptors"}
    assert stepped(threads=(9, 13)) == {"threads"}
    assert stepped(rss=(100 * MIB, 102 * MIB)) == {"memory"}
    assert stepped(descriptors=(54, 50), threads=(13, 9), rss=(102 * MIB, 100 * MIB)) == set()


def test_connections_that_come_and_go_are_no_step() -> None:
    rng = random.Random(3)
    for _ in range(50):
        points = [(60.0 * minute, rng.uniform(66, 105)) for minute in range(90)]
        assert rise(points) < 25
    busy = [(60.0 * minute, 66 + (minute * 7) % 40 + 2 * (minute >= 80)) for minute in range(90)]
    assert rise(busy) == 0
    assert rise([(at_s, value + 60 * (at_s > 4_500)) for at_s, value in busy]) > 40


def test_processes_left_behind_are_counted() -> None:
    def counted(late: Sequence[int]) -> set[str]:
        """By minute, from the 110th on."""
        samples = [
            sample(minute, processes=late[minute - 110] if minute >= 110 else 1)
            for minute in range(150)
        ]
        return broken(samples)

    assert counted([2] * 40) == {"restarts"}
    assert counted([0] * 40) == {"restarts"}
    # A fault in the very window, after which all is as before.
    assert counted([1] * 25 + [0, 3, 2] + [1] * 12) == set()


def test_what_each_restart_leaves_in_memory_is_found() -> None:
    def restarted(more: float) -> set[str]:
        """A new process every quarter of an hour, each larger than the one before."""
        return broken(
            [
                sample(
                    minute,
                    part=f"case12 {minute // 15}",
                    rss=100 * MIB * (1 + more * (minute // 15)),
                )
                for minute in range(150)
            ]
        )

    assert restarted(0.02) == {"restarts"}
    assert restarted(0.005) == set()
    filling = [
        sample(minute, part=f"mariadb-1 {minute // 15}", rss=(300 + 3 * minute) * MIB)
        for minute in range(150)
    ]
    assert broken(filling) == set()


def test_legs_are_compared_with_themselves_and_one_at_least() -> None:
    """A leg starts with small processes, whatever the one before it left."""
    two = [
        sample(minute, leg=1 + minute // 100, rss=(90 + min(minute % 100, 10)) * MIB)
        for minute in range(200)
    ]
    for one in two[100:]:
        one.sent -= 100 * TAGS_A_MINUTE
        assert one.aggregates
        assert one.profiles
        one.aggregates = Asked(one.aggregates.asked - 1_200, one.aggregates.right - 1_200)
        one.profiles = Asked(one.profiles.asked - 120_000, one.profiles.right - 120_000)
    found = judged(two, [GOOD_LEG, GOOD_LEG])
    assert not found["restarts leave nothing behind"]
    assert not found["queries were asked throughout"]
    short = judged([sample(minute, leg=1 + minute // 50) for minute in range(150)])
    assert "no leg was long enough" in short["restarts leave nothing behind"]


def test_both_queries_must_have_been_asked_at_all_times() -> None:
    def paused(first: int, last: int, *, asked: bool) -> str:
        """No aggregate is answered right between these minutes, or none even asked."""
        samples = [
            sample(minute, right=12 * (first if first <= minute < last else minute))
            for minute in range(150)
        ]
        for one in samples:
            if asked:
                assert one.aggregates
                one.aggregates.asked = one.aggregates.right
        return judged(samples)["queries were asked throughout"]

    assert paused(40, 44, asked=True) == ""
    assert paused(40, 48, asked=True) == "no aggregate query answered right from minute 40 to 47"
    # In time of a fault it may be.
    assert paused(15, 19, asked=True) == ""
    # Of a leg's first minutes none can be asked for.
    assert paused(0, 2, asked=True) == ""
    never = judged([sample(minute, asked=0, right=0) for minute in range(150)])
    assert never["queries were asked throughout"].startswith("no aggregate query answered right")


def test_of_the_queries_of_quiet_minutes_few_may_fail() -> None:
    for share, is_kept in ((0.96, True), (0.94, False)):
        samples = [sample(minute, right=int(12 * minute * share)) for minute in range(150)]
        assert broken(samples) == (set() if is_kept else {"queries"})
    # Those of a fault are its own.
    lost = [sample(minute, right=12 * minute - 400 * (minute >= 17)) for minute in range(150)]
    assert broken(lost) == set()
    assert broken(lost, events=GOOD_EVENTS[:1]) == {"queries", "every"}


def test_a_soak_from_before_queries_were_recorded_says_so() -> None:
    old = [sample(minute) for minute in range(150)]
    for one in old:
        one.aggregates = one.profiles = None
    assert judged(old)["queries were asked throughout"] == (
        "aggregate queries: not recorded; profile queries: not recorded"
    )
    assert broken(old) == {"queries"}


def test_files_from_before_queries_were_recorded_can_be_read(tmp_path: Path) -> None:
    soak = Soak(about={}, next_start_ms=0, samples=[sample(1)])
    document = msgspec.json.decode(msgspec.json.encode(soak))
    for figure in ("aggregates", "profiles"):
        del document["samples"][0][figure]
    (tmp_path / "soak.json").write_bytes(msgspec.json.encode(document))
    loaded = Soak.load(tmp_path / "soak.json")
    assert loaded
    assert (loaded.samples[0].aggregates, loaded.samples[0].sent) == (None, TAGS_A_MINUTE)


def test_without_quiet_minutes_nothing_is_judged_by_them() -> None:
    samples = [sample(minute) for minute in range(150)]
    events = [*GOOD_EVENTS, Event(1_500.0, "a long fault", until_s=7_900.0)]
    assert not judged(samples, events=events)["what was asked was answered"]
    events = [*GOOD_EVENTS, Event(960.0, "a longer fault", until_s=8_800.0)]
    text = judged(samples, events=events)["what was asked was answered"]
    assert text == "only 120,000 of 1,788,000 tags were sent in quiet minutes: too few to judge by"
    always = judged(samples, events=[*GOOD_EVENTS, Event(1.0, "ever", until_s=9_000.0)])
    assert "no five quiet minutes" in always["queries were asked throughout"]


def test_minutes_without_an_answer_have_no_latency() -> None:
    def slower(answered: Sequence[int]) -> set[str]:
        """Of the last hour, minutes with an answer by their last digit."""
        return broken(
            [
                sample(minute, p99_ms=20 if minute < 90 else 40 * (minute % 10 in answered))
                for minute in range(150)
            ]
        )

    assert slower(range(10)) == {"tags'"}
    assert slower((0, 1)) == {"tags'"}
    assert slower(()) == {"tags'"}
    some = [sample(minute, p99_ms=20 * (minute % 10 < 3)) for minute in range(150)]
    assert broken(some) == set()


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
    steps = plan(9_000, ["a", "b", "c"], 1, 522)
    assert steps == plan(9_000, ["a", "b", "c"], 1, 522)
    names = [step.what for step in steps]
    assert {names.count(what) for what in ("deploy", "rebuild aggregates", FLOOD, NEW_NAME)} == {1}
    assert sum(name in "abc" for name in names) == 14
    # Interrupted and begun anew at any time, as often as one likes.
    done: list[str] = []
    for now_s in range(0, 9_000, 7):
        while (step := due(steps, done, now_s)) is not None:
            assert step.at_s <= now_s
            done.append(step.what)
    assert done == names


@pytest.mark.parametrize("kept_s", [174.0, 522.0, 2_000.0])
@pytest.mark.parametrize("total_s", [3_600.0, 9_000.0])
def test_a_new_name_comes_once_the_flood_is_gone(total_s: float, kept_s: float) -> None:
    times = {step.what: step.at_s for step in plan(total_s, ["a"], 1, kept_s)}
    # Eighty seconds of flood.
    assert times[NEW_NAME] > times[FLOOD] + 80 + kept_s
    assert times[NEW_NAME] < total_s
    # Not beside a fault.
    assert times[NEW_NAME] % 600 == 300
    # The hour of the flood's tags is kept for as long as it lasts.
    assert times[FLOOD] + 80 < kept_s


def test_event_time_may_be_too_slow_for_a_new_name() -> None:
    assert NEW_NAME not in {step.what for step in plan(9_000, ["a"], 1, 9_000)}
