"""Judges answers to aggregate queries; dropped tags may be counted or not."""

import json
from collections.abc import Sequence
from typing import Any

from tests.webpanel.aggregate_oracle import Bounds
from tests.webpanel.aggregate_questions import AggregateQuestion
from tests.webpanel.profile_judge import Judgement, Verdict


def fits(bounds: Bounds, count: int | None, total: int | None) -> bool:
    """Whether a row may hold this count and price sum (None: not asked for).

    The count must lie between the certain tags and all tags, and so must the sum. The sum must
    be exact when the count says that none or all of the dropped tags are counted.
    """
    extra = None if count is None else count - bounds.count
    more = None if total is None else total - bounds.total
    if extra is not None and not 0 <= extra <= bounds.loose_count:
        return False
    if more is None:
        return True
    if extra == 0:
        return more == 0
    if extra == bounds.loose_count:
        return more == bounds.loose_total
    return 0 <= more <= bounds.loose_total


def _row_difference(question: AggregateQuestion, at: int, row: Any) -> str:
    """What is wrong with one row, in words; nothing if it is right."""
    key, bounds = question.keys[at], question.bounds[at]
    if not isinstance(row, list) or row[: len(key)] != key:
        return f"row {at} does not start with {key}"
    values: Sequence[Any] = row[len(key) :]
    if len(values) != len(question.aggregates) or not all(
        isinstance(value, str) and value.isascii() and value.isdigit() for value in values
    ):
        return f"row {at} ends with {values}, not with {len(question.aggregates)} numbers as text"
    figures = dict(zip(question.aggregates, map(int, values), strict=True))
    if fits(bounds, figures.get("COUNT"), figures.get("SUM_PRICE")):
        return ""
    loose = (
        f" (and up to {bounds.loose_count} and {bounds.loose_total} more, dropped)"
        if bounds.loose_count
        else ""
    )
    return f"{key[0]}: {figures}, expected count {bounds.count}, sum {bounds.total}{loose}"


def judge_aggregate(question: AggregateQuestion, body: bytes) -> Judgement:
    """Judge the body of a 200 answer."""
    if body == question.expected:  # the usual case, without parsing
        return Judgement(Verdict.OK)
    try:
        answer = json.loads(body)
    except ValueError as error:
        return Judgement(Verdict.WRONG, f"the body is no JSON: {error}")
    if answer == json.loads(question.expected):
        return Judgement(Verdict.OK)
    if not isinstance(answer, dict) or set(answer) != {"columns", "rows"}:
        return Judgement(Verdict.WRONG, "not an object with the keys columns, rows")
    if answer["columns"] != question.columns:
        return Judgement(Verdict.WRONG, f"the columns are {answer['columns']}")
    rows = answer["rows"]
    if not isinstance(rows, list) or len(rows) != len(question.keys):
        return Judgement(Verdict.WRONG, f"not {len(question.keys)} rows")
    differences = [_row_difference(question, at, row) for at, row in enumerate(rows)]
    text = ". ".join(difference for difference in differences if difference)
    return Judgement(Verdict.WRONG, text) if text else Judgement(Verdict.OK_LOOSE)
