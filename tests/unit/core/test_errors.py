"""Problem documents: members of RFC 9457 and our own two."""

import json

import pytest

from serve_app.core.errors import (
    BodyTooLarge,
    MethodNotAllowed,
    NotFound,
    OutcomeUnknown,
    Problem,
    RuleBroken,
    Unavailable,
    Unreadable,
)


@pytest.mark.parametrize(
    ("problem", "status"),
    [
        (Unreadable("why"), 400),
        (NotFound("why"), 404),
        (MethodNotAllowed("why", allow="POST"), 405),
        (BodyTooLarge("why"), 413),
        (RuleBroken("why"), 422),
        (OutcomeUnknown("why"), 504),
    ],
)
def test_a_document_says_what_happened(problem: Problem, status: int) -> None:
    assert json.loads(problem.document()) == {
        "type": "about:blank",
        "title": problem.title,
        "status": status,
        "detail": "why",
    }
    assert problem.title


def test_a_broken_rule_names_its_field() -> None:
    content = json.loads(RuleBroken("price: too low", field="product_info.price").document())
    assert content["field"] == "product_info.price"


def test_only_a_503_invites_to_try_again() -> None:
    assert json.loads(Unavailable("why").document())["retry_after_s"] == 1
    assert json.loads(Unavailable("why", retry_after_s=5).document())["retry_after_s"] == 5
    assert "retry_after_s" not in json.loads(OutcomeUnknown("why").document())
