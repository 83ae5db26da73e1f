"""After a run: checks log, profiles and aggregates against what was sent and acknowledged.

Independent of the product's code and of the Web Panel's oracles: the log is read with a plain
consumer, and the expected answers are computed here from its records.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final
from urllib.parse import quote

from tests.faults.outcome import ACKNOWLEDGED, REFUSED, SentTag
from tests.webpanel.eventtime import MINUTE_MS, minute_time, range_time
from tests.webpanel.profile_judge import matches

KEPT: Final = 200
_MINUTES: Final = 10
_MOST_COOKIES: Final = 8_000
_EXAMPLES: Final = 20
_PROBES: Final = 3

Tag = dict[str, Any]


@dataclass
class Findings:
    """Counters of the audit; flawless when every figure below ``refused`` is 0."""

    acknowledged: int = 0
    logged: int = 0
    unknown: int = 0
    refused: int = 0
    lost: int = 0
    """Acknowledged and not in the log."""
    twice: int = 0
    """In the log more than once."""
    refused_but_stored: int = 0
    never_sent: int = 0
    profiles_wrong: int = 0
    aggregates_wrong: int = 0
    unanswered: int = 0
    profiles_asked: int = 0
    aggregates_asked: int = 0
    examples: list[str] = field(default_factory=list)

    @property
    def wrong(self) -> int:
        """The sum of all counters that must be 0."""
        return (
            self.lost
            + self.twice
            + self.refused_but_stored
            + self.never_sent
            + self.profiles_wrong
            + self.aggregates_wrong
            + self.unanswered
        )

    def note(self, example: str) -> None:
        """Keep the first few findings as text."""
        if len(self.examples) < _EXAMPLES:
            self.examples.append(example)


@dataclass(frozen=True)
class Question:
    """A query and its expected answer."""

    path: str
    expected: Any
    """Rows of an aggregate; of a profile (views, buys), each (tag, optional) newest first."""


class Audit:
    """Does the comparison; performs no I/O."""

    def __init__(self, sent: Iterable[SentTag], log: Sequence[bytes], seed: int) -> None:
        """``log``: values of all records since the run began. ``seed`` chooses the queries."""
        self.findings = Findings()
        self._rng = Random(f"audit {seed}")
        self._sent = {tag.body: tag for tag in sent}
        self._log = Counter(log)
        self._tags = {body: json.loads(body) for body in self._log}
        self._compare()

    def _compare(self) -> None:
        found = self.findings
        found.logged = sum(self._log.values())
        for body, tag in self._sent.items():
            times = self._log.get(body, 0)
            if tag.outcome == ACKNOWLEDGED:
                found.acknowledged += 1
                if not times:
                    found.lost += 1
                    found.note(f"acknowledged and not in the log: {body.decode()}")
            elif tag.outcome == REFUSED:
                found.refused += 1
                if times:
                    found.refused_but_stored += 1
                    found.note(f"refused and in the log: {body.decode()}")
            else:
                found.unknown += 1
            if times > 1:
                found.twice += 1
                found.note(f"{times} times in the log: {body.decode()}")
        for body in self._log:
            if body not in self._sent:
                found.never_sent += 1
                found.note(f"in the log and never sent: {body.decode()}")

    def profile_questions(self) -> list[Question]:
        """All time without limit, for every cookie sent or for a sample of them."""
        cookies: dict[str, list[SentTag]] = defaultdict(list)
        for tag in self._sent.values():
            cookies[json.loads(tag.body)["cookie"]].append(tag)
        chosen = sorted(cookies)
        if len(chosen) > _MOST_COOKIES:
            chosen = self._rng.sample(chosen, _MOST_COOKIES)
        return [self._profile(cookie, cookies[cookie]) for cookie in chosen]

    def _profile(self, cookie: str, tags: list[SentTag]) -> Question:
        sides: dict[str, list[tuple[Tag, bool]]] = {"VIEW": [], "BUY": []}
        for tag in sorted(tags, key=lambda one: one.ms, reverse=True):
            if tag.body in self._log:
                document = self._tags[tag.body]
                sides[document["action"]].append((document, tag.outcome != ACKNOWLEDGED))
        first, last = min(tag.ms for tag in tags), max(tag.ms for tag in tags)
        span = f"{range_time(first, keep_zeros=True)}_{range_time(last + 1, keep_zeros=True)}"
        path = f"/user_profiles/{quote(cookie)}?time_range={span}"
        return Question(path, (cookie, sides["VIEW"], sides["BUY"]))

    def aggregate_questions(self) -> list[Question]:
        """Every minute of the log without filter, and with filters that match some of its tags."""
        if not self._log:
            return []
        by_span: dict[int, list[tuple[int, Tag, int]]] = defaultdict(list)
        for body, times in self._log.items():
            minute = self._minute(body)
            by_span[minute // _MINUTES].append((minute, self._tags[body], times))
        questions = []
        for span in sorted(by_span):
            tags = by_span[span]
            for action in ("VIEW", "BUY"):
                questions.append(_aggregate(span, tags, action, {}))
                for _ in range(_PROBES):
                    tag = self._rng.choice(tags)[1]
                    values = {"origin": tag["origin"], **tag["product_info"]}
                    names = ("origin", "brand_id", "category_id")
                    wanted = [name for name in names if self._rng.random() < 0.5] or names[2:]
                    given = {name: values[name] for name in wanted}
                    questions.append(_aggregate(span, tags, action, given))
        return questions

    def _minute(self, body: bytes) -> int:
        sent = self._sent.get(body)
        return sent.ms // MINUTE_MS if sent is not None else 0

    def judge_profile(self, question: Question, answer: tuple[int, bytes]) -> None:
        """Count one answer."""
        self.findings.profiles_asked += 1
        document = self._document(question, answer)
        if document is None:
            return
        cookie, views, buys = question.expected
        right = (
            document["cookie"] == cookie
            and matches(views, KEPT, document["views"])
            and matches(buys, KEPT, document["buys"])
        )
        if not right:
            self.findings.profiles_wrong += 1
            shape = f"{len(document['views'])} views and {len(document['buys'])} buys"
            certain = [sum(not optional for _, optional in side) for side in (views, buys)]
            self.findings.note(f"{question.path}: {shape}, acknowledged are {certain}")

    def judge_aggregate(self, question: Question, answer: tuple[int, bytes]) -> None:
        """Count one answer."""
        self.findings.aggregates_asked += 1
        document = self._document(question, answer)
        if document is not None and document["rows"] != question.expected:
            self.findings.aggregates_wrong += 1
            pairs = zip(document["rows"], question.expected, strict=False)
            other = [(got, want) for got, want in pairs if got != want]
            self.findings.note(f"{question.path}: got and expected: {other[:2]}")

    def _document(self, question: Question, answer: tuple[int, bytes]) -> dict[str, Any] | None:
        status, body = answer
        if status != 200:
            self.findings.unanswered += 1
            self.findings.note(f"{question.path}: {status} {body[:200]!r}")
            return None
        document: dict[str, Any] = json.loads(body)
        return document

    def judge_pairs(
        self,
        bodies: Iterable[bytes],
        questions: Sequence[Question],
        answers: Sequence[tuple[int, bytes]],
    ) -> None:
        """Check that tags of unknown outcome are in both log and profile, or in neither.

        ``questions`` and ``answers`` are those of the profiles.
        """
        cookies = {
            question.expected[0]: json.loads(body)
            for question, (status, body) in zip(questions, answers, strict=True)
            if status == 200
        }
        for body in bodies:
            tag = json.loads(body)
            side = "views" if tag["action"] == "VIEW" else "buys"
            if tag["cookie"] not in cookies:
                continue
            if (tag in cookies[tag["cookie"]][side]) != (body in self._log):
                self.findings.profiles_wrong += 1
                self.findings.note(f"in one store only: {body.decode()}")


def _aggregate(
    span: int, tags: list[tuple[int, Tag, int]], action: str, given: dict[str, str]
) -> Question:
    counts: dict[int, list[int]] = defaultdict(lambda: [0, 0])
    for minute, tag, times in tags:
        values = {"origin": tag["origin"], **tag["product_info"]}
        if tag["action"] == action and all(values[name] == want for name, want in given.items()):
            counts[minute][0] += times
            counts[minute][1] += times * tag["product_info"]["price"]
    minutes = range(span * _MINUTES, (span + 1) * _MINUTES)
    rows = [
        [minute_time(minute), action, *given.values(), *map(str, counts[minute])]
        for minute in minutes
    ]
    filters = "".join(f"&{name}={quote(value)}" for name, value in given.items())
    time_range = f"{minute_time(minutes.start)}_{minute_time(minutes.stop)}"
    return Question(
        f"/aggregates?time_range={time_range}&action={action}{filters}"
        "&aggregates=COUNT&aggregates=SUM_PRICE",
        rows,
    )
