"""What was accepted and erased, and what an answer must therefore hold."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field

from serve_app.core.answer import ProfileAnswer
from serve_app.core.erasure import Erasure
from serve_app.core.tag import ACTIONS, UserTag
from serve_app.core.timestamps import format_tag_time
from tests.tags import new_tag

KEPT = 3
"""Tags kept of a cookie and action, in the place of 200."""
BASE_MS = 1_646_092_800_000


@dataclass(slots=True)
class Sent:
    """A tag that the log has."""

    number: int
    cookie: str
    action: str
    time_ms: int
    partition: int
    offset: int
    accepted_s: float | None
    """When it was acknowledged, if ever."""
    unknown: bool = False
    """It may be missing: it is older than the log, and an operator accepted a loss."""
    carried_away: bool = False
    """Its shard lost it on its way from another: lost for good once the log has dropped it."""
    away_unseen: bool = False
    """Its slot lost data in another shard, and was back before a feed had seen that it was gone."""


@dataclass(slots=True)
class Erased:
    """An erasure of which the log has some record."""

    erasure: Erasure
    offsets: dict[int, int]
    """Its record in each partition that has one."""
    done_s: float | None
    """When it was in every partition, if ever."""


def body_of(cookie: str, action: str, number: int, time_ms: int) -> bytes:
    """The number makes each tag another one."""
    time = format_tag_time(time_ms, fraction=True)
    return json.dumps(new_tag(cookie, time, action=action, product_id=number)).encode()


@dataclass(slots=True)
class Oracle:
    """Knows the log by heart, also what it has dropped."""

    tags: list[Sent] = field(default_factory=list)
    erasures: list[Erased] = field(default_factory=list)
    begins: dict[int, int] = field(default_factory=dict)

    def covered(self, sent: Sent, erasures: Iterable[Erased]) -> bool:
        """Whether one of the erasures is of this tag."""
        return any(
            one.erasure.cookie == sent.cookie
            and sent.offset < one.erasure.before.get(sent.partition, 0)
            for one in erasures
        )

    def may_lack(self, sent: Sent) -> bool:
        """Of tags that the log has dropped, or that nobody knows to be lost."""
        if sent.away_unseen:
            return True
        gone = sent.offset < self.begins.get(sent.partition, 0)
        return gone and (sent.unknown or sent.carried_away)

    def accept_loss(self) -> None:
        """Of everything that the log does not have any more."""
        for sent in self.tags:
            if sent.offset < self.begins.get(sent.partition, 0):
                sent.unknown = True
        for erased in self.erasures:
            if all(at < self.begins.get(p, 0) for p, at in erased.offsets.items()):
                erased.done_s = None

    def problems(self, promised_s: float, answer: ProfileAnswer) -> list[str]:
        """What is wrong with an answer that must hold all that was done before, in words."""
        wrong: list[str] = []
        for action, got in zip(ACTIONS, (answer.views, answer.buys), strict=True):
            wrong += self._problems(promised_s, answer.cookie, action, got)
        return wrong

    def _problems(
        self, promised_s: float, cookie: str, action: str, got: list[UserTag]
    ) -> Iterable[str]:
        known = {
            one.number: one for one in self.tags if one.cookie == cookie and one.action == action
        }
        numbers = [int(tag.product_info.product_id) for tag in got]
        done = [one for one in self.erasures if one.done_s is not None and one.done_s < promised_s]
        times = [tag.time_ms for tag in got]
        if times != sorted(times, reverse=True) or len(set(numbers)) != len(numbers):
            yield f"{cookie} {action}: out of order: {numbers}"
        if len(numbers) > KEPT:
            yield f"{cookie} {action}: more than are kept: {numbers}"
        for number in numbers:
            if number not in known:
                yield f"{cookie} {action}: tag {number} was never sent"
            elif self.covered(known[number], done):
                yield f"{cookie} {action}: tag {number} was erased"
        for sent in known.values():
            if sent.accepted_s is None or sent.accepted_s >= promised_s or sent.number in numbers:
                continue
            if self.covered(sent, self.erasures) or self.may_lack(sent):
                continue
            if len(got) == KEPT and times[-1] > sent.time_ms:
                continue
            yield f"{cookie} {action}: lacks tag {sent.number}, answered {numbers}"
