"""Judges answers to profile queries; dropped tags may be in them or not."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from tests.webpanel.profile_oracle import KEPT
from tests.webpanel.profile_questions import Candidate, ProfileQuestion


class Verdict(Enum):
    """Outcome of a judged answer."""

    OK = "ok"
    OK_LOOSE = "ok, given what was dropped"
    WRONG = "wrong"
    EMPTY = "empty"


@dataclass(slots=True, frozen=True)
class Judgement:
    """A verdict and, for a wrong answer, the difference as text."""

    verdict: Verdict
    difference: str = ""


def matches(candidates: Sequence[tuple[Any, bool]], limit: int, answer: Sequence[Any]) -> bool:
    """Whether `answer` is the newest `limit` of all certain and some optional candidates.

    Args:
        candidates: (tag, optional), newest first, all tags different.
        limit: maximum of tags in an answer.
        answer: the tags answered.

    Greedy: an optional tag is taken whenever it comes next, which is right as no tag occurs twice.
    """
    found = 0
    for tag, optional in candidates:
        if found == limit:
            break
        if found < len(answer) and answer[found] == tag:
            found += 1
        elif not optional:
            return False
    return found == len(answer)


def _tag_times(tags: Sequence[Any], most: int = 5) -> str:
    times = [str(tag.get("time") if isinstance(tag, dict) else tag) for tag in tags[:most]]
    more = f" and {len(tags) - most} more" if len(tags) > most else ""
    return ", ".join(times) + more


def _difference(
    name: str, candidates: Sequence[tuple[Any, bool]], limit: int, answer: Sequence[Any]
) -> str:
    """Describes the difference in one list of an answer."""
    known = [tag for tag, _ in candidates]
    certain = [tag for tag, optional in candidates if not optional][:limit]
    missing = [tag for tag in certain if tag not in answer]
    extra = [tag for tag in answer if tag not in known]
    parts = [f"{name}: {len(answer)} tags, {len(certain)} certain ones expected"]
    if missing:
        parts.append(f"missing: {_tag_times(missing)}")
    if extra:
        parts.append(f"not expected: {_tag_times(extra)}")
    if len(answer) > limit:
        parts.append(f"more than the limit of {limit}")
    if not missing and not extra:
        twice = [tag for at, tag in enumerate(answer) if tag in answer[:at]]
        parts.append(f"twice: {_tag_times(twice)}" if twice else "in the wrong order or cut")
    return "; ".join(parts)


def judge_profile(
    question: ProfileQuestion, body: bytes, newer: tuple[int, int] = (0, 0)
) -> Judgement:
    """Judge the body of a 200 answer.

    Args:
        question: what was asked.
        body: the answer's body.
        newer: views and buys of the cookie sent since the question was made, which may have
            displaced the oldest of the 200.
    """
    if body == question.expected:  # the usual case, without parsing
        return Judgement(Verdict.OK)
    try:
        answer = json.loads(body)
    except ValueError as error:
        return Judgement(Verdict.WRONG, f"the body is no JSON: {error}")
    expected = json.loads(question.expected)
    if answer == expected:
        return Judgement(Verdict.OK)
    if not isinstance(answer, dict) or set(answer) != set(expected):
        return Judgement(Verdict.WRONG, f"not an object with the keys {', '.join(expected)}")
    if answer["cookie"] != expected["cookie"]:
        return Judgement(Verdict.WRONG, f"the cookie is {answer['cookie']!r}")
    differences = []
    for name, side, pushed in zip(("views", "buys"), question.candidates, newer, strict=True):
        if not isinstance(answer[name], list):
            return Judgement(Verdict.WRONG, f"{name} is no list")
        candidates = [(json.loads(tag.json), _optional(tag, pushed)) for tag in side]
        if not matches(candidates, question.limit, answer[name]):
            differences.append(_difference(name, candidates, question.limit, answer[name]))
    if not differences:
        return Judgement(Verdict.OK_LOOSE)
    empty = not answer["views"] and not answer["buys"]
    return Judgement(Verdict.EMPTY if empty else Verdict.WRONG, ". ".join(differences))


def _optional(tag: Candidate, pushed: int) -> bool:
    return tag.uncertain or tag.rank + pushed > KEPT
