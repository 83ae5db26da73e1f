"""What a load says of itself while it runs."""

import json

from tests.faults.load import line_of
from tests.faults.running_load import Sample
from tests.soak.results import Asked
from tests.soak.run import queries
from tests.webpanel.ledger import Ledger
from tests.webpanel.profile_judge import Verdict


def said(ledger: Ledger) -> Sample:
    return Sample(**json.loads(json.dumps(line_of(ledger, 7.0))))


def test_queries_are_counted_by_their_outcome() -> None:
    ledger = Ledger(1_000)
    counters = ledger.counters
    counters.tags.sent = 900
    counters.aggregates.sent, counters.profiles.sent = 4, 90
    counters.aggregate_answers.unanswered = 1
    for verdict in (Verdict.OK, Verdict.OK_LOOSE, Verdict.WRONG):
        counters.aggregate_answers.add(verdict)
    counters.profile_answers.ok = 88
    sample = said(ledger)
    assert (sample.at_s, sample.sent, sample.wrong) == (7.0, 900, 1)
    assert queries(sample) == (Asked(4, 2, 1), Asked(90, 88, 0))
    assert queries(None) == (Asked(), Asked())


def test_a_load_that_dies_leaves_counters_as_in_its_report() -> None:
    ledger = Ledger(1_000)
    ledger.counters.tags.sent = 900
    ledger.counters.aggregates.sent = 3
    ledger.counters.aggregate_answers.ok = 2
    ledger.counters.profile_answers.unanswered = 1
    report = ledger.counters.as_json()
    for group, figures in said(ledger).counters().items():
        assert figures == {key: report[group][key] for key in figures}, group
