"""Profile questions and judgements against a plain model, over long histories, without I/O."""

import json
from collections.abc import Sequence
from itertools import combinations
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.panel.reference_server import Fault, ReferenceModel
from tests.webpanel.options import STREAM_START_MS, SubscriptionOptions
from tests.webpanel.profile_judge import Verdict, judge_profile, matches
from tests.webpanel.profile_oracle import ActionHistory, ProfileOracle
from tests.webpanel.profile_questions import ProfileQuestions
from tests.webpanel.stream import tag_codes, tag_json


def possible(candidates: Sequence[tuple[int, bool]], limit: int) -> list[list[int]]:
    """Every right answer, by trying all subsets of the optional tags."""
    optional = [tag for tag, free in candidates if free]
    answers = []
    for size in range(len(optional) + 1):
        for absent in combinations(optional, size):
            answers.append([tag for tag, _ in candidates if tag not in absent][:limit])
    return answers


@given(
    st.lists(st.booleans(), max_size=7),
    st.integers(0, 8),
    st.lists(st.integers(0, 7), max_size=8),
)
@settings(max_examples=300, deadline=None)
def test_matches_accepts_exactly_the_possible_answers(
    free: list[bool], limit: int, answer: list[int]
) -> None:
    """Any list: accepted if and only if some subset of the optional tags explains it."""
    candidates = list(enumerate(free))
    assert matches(candidates, limit, answer) == (answer in possible(candidates, limit))
    for right in possible(candidates, limit):
        assert matches(candidates, limit, right)


@given(st.lists(st.booleans(), max_size=9), st.integers(0, 6), st.data())
@settings(max_examples=100, deadline=None)
def test_newest_brings_enough_candidates(
    dropped: list[bool], limit: int, data: st.DataObject
) -> None:
    """What `newest` leaves out is in no possible answer."""
    history = ActionHistory()
    for ms, uncertain in enumerate(dropped):
        history.add(ms, ms + 100)
        if uncertain:
            history.mark_uncertain(ms)
    low = data.draw(st.integers(0, 9))
    high = data.draw(st.integers(low, 10))
    found = [(ms, free) for ms, _, free, _ in history.newest(low, high, limit)]
    whole = [(ms, free) for ms, free in enumerate(dropped) if low <= ms < high][::-1]
    for answer in possible(whole, limit):
        assert matches(found, limit, answer)


def simulate(model: ReferenceModel, drops: str = "", tags: int = 6000, seed: int = 3) -> list[Any]:
    """Few cookies, many tags: judgements of questions asked all along.

    Args:
        model: the server.
        drops: `""`, or what becomes of every 9th tag: `"stored"`, `"lost"` or `"either"`.
        tags: length of the stream.
        seed: of the stream and of chance.
    """
    rng, codes, options = Random(seed), tag_codes(seed), SubscriptionOptions()
    oracle = ProfileOracle(3)
    questions = ProfileQuestions(seed, oracle, STREAM_START_MS)
    verdicts = []

    def send(index: int) -> None:
        ms = options.event_ms(index)
        code = next(codes) & (1 << 35) - 1 | (rng.randrange(12) ** 2 // 30) << 35
        oracle.record(index, ms, code)
        dropped = drops and index % 9 == 0
        if dropped:
            oracle.drop(ms, code)
        if not dropped or drops == "stored" or (drops == "either" and rng.random() < 0.5):
            model.add(json.loads(tag_json(ms, code)))
        if model.kept and len(model.tags) > 3000:
            del model.tags[:1000]  # of 4 cookies, 3000 tags hold 200 of each action that matters

    for index in range(tags):
        send(index)
        if index % 40 == 39:
            due = max(0, index - 100)
            question = questions.next(due, options.event_ms(due))
            before = question.totals
            status, body = model.answer(question.path, question.expected)
            assert status == 200
            newer = (0, 0)
            if question.cookie is not None:
                history = oracle.history(question.cookie)
                newer = (history[0].total - before[0], history[1].total - before[1])
            verdicts.append(judge_profile(question, body, newer))
    return verdicts


@pytest.mark.parametrize("kept", [200, 230, None])
@pytest.mark.parametrize("drops", ["", "stored", "lost", "either"])
def test_right_servers_are_right(kept: int | None, drops: str) -> None:
    """Whatever the server keeps beyond 200, and whatever it did with dropped tags."""
    verdicts = simulate(ReferenceModel(kept=kept), drops, tags=3000)
    assert {one.difference for one in verdicts} == {""}
    if not drops:
        assert {one.verdict for one in verdicts} == {Verdict.OK}


def test_a_server_that_keeps_too_few_is_wrong() -> None:
    """199 are not 200."""
    assert any(one.difference for one in simulate(ReferenceModel(kept=190)))


@pytest.mark.parametrize(
    "fault",
    [
        Fault.LOSES_TAGS,
        Fault.LIMIT_KEEPS_OLDEST,
        Fault.OLDEST_FIRST,
        Fault.RANGE_END_INCLUSIVE,
        Fault.RANGE_START_EXCLUSIVE,
    ],
)
def test_faults_are_found_despite_dropped_tags(fault: Fault) -> None:
    """Leniency for dropped tags does not excuse anything else."""
    wrong = [one for one in simulate(ReferenceModel(fault), "either", 3000) if one.difference]
    assert wrong
    assert all(one.verdict in (Verdict.WRONG, Verdict.EMPTY) for one in wrong)


def test_newer_tags_push_out_the_oldest() -> None:
    """A tag of rank 200 may be gone once a newer one was sent."""
    codes, options = tag_codes(1), SubscriptionOptions()
    oracle = ProfileOracle(1)
    for index in range(200):
        oracle.record(index, options.event_ms(index), next(codes) & (1 << 35) - 2)
    questions = ProfileQuestions(1, oracle, STREAM_START_MS)
    while (question := questions.next(200, options.event_ms(200))).limit != 200 or (
        len(question.candidates[0]) != 200
    ):
        pass
    answer = json.loads(question.expected)
    assert judge_profile(question, json.dumps(answer).encode()).verdict is Verdict.OK
    answer["views"].pop()
    body = json.dumps(answer).encode()
    assert judge_profile(question, body).verdict is Verdict.WRONG
    assert judge_profile(question, body, (1, 0)).verdict is Verdict.OK_LOOSE
    assert judge_profile(question, body, (0, 1)).verdict is Verdict.WRONG


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b'{"cookie":"x","views":[],"buys":[]}',
        b'{"cookie":"x","views":[],"buys":[],"more":1}',
    ],
)
def test_other_shapes_are_wrong(body: bytes) -> None:
    """Nonsense is wrong, never an exception."""
    question = ProfileQuestions(1, ProfileOracle(1), STREAM_START_MS).next(0, STREAM_START_MS)
    assert judge_profile(question, body).verdict is Verdict.WRONG
