"""Aggregate questions and judgements against a plain model, without I/O."""

import json
from dataclasses import replace
from itertools import combinations
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.panel.reference_server import Fault, ReferenceModel
from tests.webpanel import catalogue as shop
from tests.webpanel.aggregate_judge import fits, judge_aggregate
from tests.webpanel.aggregate_oracle import KEPT_MINUTES, AggregateOracle, Bounds
from tests.webpanel.aggregate_questions import AggregateQuestion, AggregateQuestions
from tests.webpanel.eventtime import MINUTE_MS, parse_event_time
from tests.webpanel.options import STREAM_START_MS
from tests.webpanel.profile_judge import Judgement, Verdict
from tests.webpanel.stream import tag_codes, tag_json

FIRST = STREAM_START_MS // MINUTE_MS


def simulate(
    fault: Fault = Fault.NONE, drops: str = ""
) -> list[tuple[AggregateQuestion, Judgement]]:
    """1,200 tags over 12 minutes, then 100 questions; every 11th tag may be dropped."""
    model, oracle, rng = ReferenceModel(fault), AggregateOracle(5), Random(1)
    for index, code in zip(range(1200), tag_codes(5), strict=False):
        ms = STREAM_START_MS + index * 600
        oracle.record(ms, code)
        dropped = drops and index % 11 == 0
        if dropped:
            oracle.drop(ms, code)
        if not dropped or drops == "stored" or (drops == "either" and rng.random() < 0.5):
            model.add(json.loads(tag_json(ms, code)))
    questions = AggregateQuestions(5, oracle)
    asked = [questions.next(FIRST, FIRST + 11) for _ in range(100)]
    return [(one, judge_aggregate(one, model.answer(one.path, b"")[1])) for one in asked]


@pytest.mark.parametrize("drops", ["", "stored", "lost", "either"])
def test_right_server_is_right(drops: str) -> None:
    """Also when dropped tags are counted, or some of them."""
    judged = simulate(drops=drops)
    assert {one.difference for _, one in judged} == {""}
    if drops in ("", "stored"):
        assert {one.verdict for _, one in judged} == {Verdict.OK}
    else:
        assert any(one.verdict is Verdict.OK_LOOSE for _, one in judged)


@pytest.mark.parametrize(
    "fault",
    [
        Fault.LOSES_TAGS,
        Fault.COUNTS_TWICE,
        Fault.MINUTE_SHIFTED,
        Fault.EMPTY_MINUTES_MISSING,
        Fault.FIXED_COLUMN_ORDER,
    ],
)
def test_faults_are_found(fault: Fault) -> None:
    """Each with a difference in words."""
    assert any(one.difference for _, one in simulate(fault))


def test_questions_cover_the_contract() -> None:
    """One to ten minutes, both actions, all filter shapes and aggregate orders."""
    asked = [question for question, _ in simulate()]
    assert {len(one.keys) for one in asked} >= {1, 2, 10}
    assert max(len(one.keys) for one in asked) == 10
    assert {one.keys[0][1] for one in asked} == {"VIEW", "BUY"}
    assert len({one.aggregates for one in asked}) == 4
    assert {len(one.columns) - len(one.aggregates) for one in asked} == {2, 3, 4, 5}


def test_all_that_is_kept_is_asked_for_while_event_time_runs_fast() -> None:
    """The newest minute, the oldest ones, and any between; not a minute outside."""
    oracle = AggregateOracle(5)
    questions, starts, ends = AggregateQuestions(5, oracle), [], []
    for number in range(200):
        oldest = FIRST + 100 * number
        question = questions.next(oldest, oldest + 1_000)
        minutes = [
            int(parse_event_time(f"{key[0]}Z") // MINUTE_MS) - oldest for key in question.keys
        ]
        assert 0 <= minutes[0] <= minutes[-1] <= 1_000
        starts.append(minutes[0])
        ends.append(minutes[-1])
    assert starts.count(0) > 10
    assert ends.count(1_000) > 100
    assert sum(10 < start < 900 for start in starts) > 10


def test_a_minute_that_is_the_only_new_one_is_asked_for_alone() -> None:
    questions = AggregateQuestions(5, AggregateOracle(5))
    for number in range(20):
        assert len(questions.next(FIRST, FIRST + number).keys) == 1


def test_filters_that_join_to_the_same_text() -> None:
    """`Novia` + `Shoes_Men` and `Novia_Shoes` + `Men` are asked apart."""
    filters = AggregateOracle(1).filters
    names = [
        f"{shop.BRANDS[one.brand]}_{shop.CATEGORIES[one.category]}"
        for one in filters
        if one.brand is not None and one.category is not None and one.origin is None
    ]
    assert names.count("Novia_Shoes_Men") == 2
    assert len(filters) == len(set(filters))


@given(st.lists(st.integers(0, 9), max_size=5), st.integers(0, 5), st.integers(0, 60))
def test_fits_accepts_all_that_dropped_tags_explain(
    prices: list[int], count: int, total: int
) -> None:
    """Every subset is accepted; what is outside the bounds is not."""
    bounds = Bounds(count, total, len(prices), sum(prices))
    for size in range(len(prices) + 1):
        for kept in combinations(prices, size):
            assert fits(bounds, count + size, total + sum(kept))
            assert fits(bounds, count + size, None)
            assert fits(bounds, None, total + sum(kept))
    assert not fits(bounds, count + len(prices) + 1, None)
    assert not fits(bounds, count - 1, None)
    assert not fits(bounds, None, total - 1)
    assert not fits(bounds, count, total + 1)
    assert fits(replace(bounds, loose_count=0, loose_total=0), count, total)


def test_memory_is_bounded() -> None:
    """After more than a day of minutes only the last day's are there."""
    oracle = AggregateOracle(1)
    code = next(tag_codes(1))
    for minute in range(KEPT_MINUTES + 50):
        ms = (FIRST + minute) * MINUTE_MS
        oracle.record(ms, code)
        oracle.drop(ms, code)
    assert len(oracle._sent) == len(oracle._loose) == KEPT_MINUTES
    assert oracle.bounds(FIRST, 0, code & 1) == Bounds(0, 0, 0, 0)
    assert oracle.bounds(FIRST + 60, 0, code & 1).loose_count == 1
