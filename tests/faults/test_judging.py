"""The fault runner's judgement: finds every kind of error, and none in a correct result."""

import json
from collections.abc import Sequence

import pytest

from tests.faults.audit import Audit, Question
from tests.faults.catalogue import CLUSTER, DEV, FAULTS
from tests.faults.outcome import ACKNOWLEDGED, REFUSED, UNKNOWN, SentTag, outcome_of
from tests.faults.running_load import Sample, dropped_since, seconds_until_normal
from tests.oracle import Oracle
from tests.webpanel.connections import Failure
from tests.webpanel.options import STREAM_START_MS, SubscriptionOptions
from tests.webpanel.stream import tag_codes, tag_json

OPTIONS = SubscriptionOptions(step_ms=100)


def tags(count: int = 3000, outcome: int = ACKNOWLEDGED) -> list[SentTag]:
    codes = tag_codes(1)
    return [
        SentTag(tag_json(ms, next(codes)).encode(), ms, outcome)
        for ms in range(STREAM_START_MS, STREAM_START_MS + count * 100, 100)
    ]


def answers(questions: Sequence[Question], stored: Sequence[bytes]) -> list[tuple[int, bytes]]:
    """Answers of an independent oracle for a server with ``stored`` in both stores."""
    oracle = Oracle(json.loads(body) for body in stored)
    found = []
    for question in questions:
        path, _, query = question.path.partition("?")
        pairs = [pair.split("=") for pair in query.replace("%26", "&").split("&")]
        if path == "/aggregates":
            fields = {name: value for name, value in pairs if name != "aggregates"}
            named = [value for name, value in pairs if name == "aggregates"]
            answer = oracle.aggregates(
                fields.pop("time_range"), fields.pop("action"), named, **fields
            )
        else:
            answer = oracle.profile(path.rpartition("/")[2], pairs[0][1])
        found.append((200, json.dumps(answer).encode()))
    return found


def judged(sent: Sequence[SentTag], log: Sequence[bytes], stored: Sequence[bytes]) -> Audit:
    audit = Audit(sent, log, seed=1)
    profiles = audit.profile_questions()[:200]
    for question, answer in zip(profiles, answers(profiles, stored), strict=True):
        audit.judge_profile(question, answer)
    aggregates = audit.aggregate_questions()
    for question, answer in zip(aggregates, answers(aggregates, stored), strict=True):
        audit.judge_aggregate(question, answer)
    return audit


def test_a_right_platform_is_found_right() -> None:
    sent = tags(600)
    bodies = [tag.body for tag in sent]
    found = judged(sent, bodies, bodies).findings
    assert not found.wrong, found.examples
    assert found.profiles_asked > 100
    assert found.aggregates_asked >= 8
    assert found.acknowledged == found.logged == 600


def test_lost_twice_refused_and_foreign_tags_are_found() -> None:
    sent = [*tags(50)[:40], *(SentTag(tag.body, tag.ms, REFUSED) for tag in tags(50)[40:])]
    foreign = tags(51)[-1].body
    log = [*(tag.body for tag in sent[1:41]), sent[5].body, foreign]
    found = Audit(sent, log, seed=1).findings
    assert (found.lost, found.twice, found.refused_but_stored, found.never_sent) == (1, 1, 1, 1)
    assert len(found.examples) == 4


def test_a_tag_missing_from_profiles_or_counts_is_found() -> None:
    sent = tags(600)
    bodies = [tag.body for tag in sent]
    found = judged(sent, bodies, bodies[:-300]).findings
    assert found.profiles_wrong
    assert found.aggregates_wrong


def test_unknown_tags_may_be_there_or_not_but_never_in_one_store_only() -> None:
    sent = [SentTag(tag.body, tag.ms, UNKNOWN) for tag in tags(20)]
    log = [tag.body for tag in sent[:10]]
    assert not judged(sent, log, log).findings.wrong
    audit = Audit(sent, log, seed=1)
    profiles = audit.profile_questions()
    audit.judge_pairs(log, profiles, answers(profiles, log[1:]))
    assert audit.findings.profiles_wrong == 1


def test_an_answer_that_never_came_counts() -> None:
    sent = tags(5)
    audit = Audit(sent, [tag.body for tag in sent], seed=1)
    for question in audit.profile_questions():
        audit.judge_profile(question, (503, b"{}"))
    assert audit.findings.unanswered == audit.findings.profiles_asked > 0
    assert audit.findings.wrong


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (204, ACKNOWLEDGED),
        (503, REFUSED),
        (422, REFUSED),
        (Failure.CONNECT, REFUSED),
        (500, UNKNOWN),
        (504, UNKNOWN),
        (Failure.READ_TIMEOUT, UNKNOWN),
        (Failure.OTHER, UNKNOWN),
    ],
)
def test_outcomes(answer: int | Failure, outcome: int) -> None:
    assert outcome_of(answer) == outcome


def samples(*dropped: int) -> list[Sample]:
    return [Sample(float(at), "running", at * 100, count, 0) for at, count in enumerate(dropped)]


@pytest.mark.parametrize(
    ("dropped", "normal_s"),
    [
        ([0] * 12, 0.0),
        # Drops before the injection at 2 s do not count, those at 3 and 5 s do.
        ([0, 4, 4, 5, 5, 9, 9, 9, 9, 9, 9, 9], 3.0),
        ([0, 0, 0, 0, 0, 0, 1, 1, 2, 2, 2], None),
        # Still healing at 8 s: not known yet.
        ([0, 0, 0, 0, 0, 0, 0, 0, 0, 0], None),
    ],
)
def test_seconds_until_normal(dropped: list[int], normal_s: float | None) -> None:
    healed_s = 8.0 if len(dropped) == 10 else 3.0
    assert seconds_until_normal(samples(*dropped), 2.0, healed_s) == normal_s


def test_drops_since_a_moment() -> None:
    assert dropped_since(samples(0, 2, 5, 9), 1.5) == 7
    assert dropped_since(samples(0, 2), 9) == 0


def test_faults_are_named_once_and_heal_within_their_bounds() -> None:
    names = [fault.name for fault in FAULTS]
    assert len(names) == len(set(names))
    for stack in (DEV, CLUSTER):
        assert [fault for fault in FAULTS if fault.chaos and stack in fault.stacks]
    for fault in FAULTS:
        assert not fault.dropped_s or fault.normal_s, fault.name
