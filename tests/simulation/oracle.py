"""Records what was accepted and erased, and derives what an answer must hold."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from serve_app.core.answer import ProfileAnswer
from serve_app.core.erasure import Erasure
from serve_app.core.tag import ACTIONS, UserTag
from serve_app.core.timestamps import format_tag_time
from tests.tags import new_tag

KEPT = 3
"""Tags kept per cookie and action, instead of 200."""
BASE_MS = 1_646_092_800_000


@dataclass(slots=True)
class Sent:
    """A tag that was appended to the log."""

    number: int
    cookie: str
    action: str
    time_ms: int
    partition: int
    offset: int
    accepted_s: float | None
    """When it was acknowledged, or None."""
    topic: int = 1
    """Which topic of that name has it, or had it: the first, the second, …"""
    unknown: bool = False
    """May be missing: the log has dropped it, and an operator accepted a loss."""
    carried_away: bool = False
    """Its shard lost it while its slot moved: lost for good once the log has dropped it."""
    away_unseen: bool = False
    """Its slot lost data in another shard, and was back before a feed had seen that it was gone."""


@dataclass(slots=True)
class Erased:
    """An erasure with a record in at least one partition."""

    erasure: Erasure
    offsets: dict[int, int]
    """Offset of its record by partition."""
    done_s: float | None
    """When it was in all partitions, or None."""
    topic: int = 1


def body_of(cookie: str, action: str, number: int, time_ms: int) -> bytes:
    """The body of a tag; ``number`` makes it unique."""
    time = format_tag_time(time_ms, fraction=True)
    return json.dumps(new_tag(cookie, time, action=action, product_id=number)).encode()


@dataclass(slots=True)
class Oracle:
    """Knows all of the log, including what it has dropped."""

    tags: list[Sent] = field(default_factory=list)
    erasures: list[Erased] = field(default_factory=list)
    begins: dict[int, int] = field(default_factory=dict)
    topic: int = 1
    """The topic that there is now."""

    def covered(self, sent: Sent, erasures: Iterable[Erased]) -> bool:
        """Whether one of the erasures covers this tag; those of a later topic do."""
        return any(
            one.erasure.cookie == sent.cookie
            and (sent.topic, sent.offset) < (one.topic, one.erasure.before.get(sent.partition, 0))
            for one in erasures
        )

    def may_lack(self, sent: Sent) -> bool:
        """Whether a tag that the log has dropped, or nobody knows to be lost, may be missing."""
        if sent.away_unseen:
            return True
        return self._dropped(sent) and (sent.unknown or sent.carried_away)

    def accept_loss(self) -> None:
        """Accept the loss of everything that the log has dropped."""
        for sent in self.tags:
            if self._dropped(sent):
                sent.unknown = True
        for erased in self.erasures:
            old = erased.topic < self.topic
            if old or all(at < self.begins.get(p, 0) for p, at in erased.offsets.items()):
                erased.done_s = None

    def replace_topic(self) -> None:
        """What comes now is in another one."""
        self.topic += 1
        self.begins.clear()

    def _dropped(self, sent: Sent) -> bool:
        return sent.topic < self.topic or sent.offset < self.begins.get(sent.partition, 0)

    def problems(self, promised_s: float, answer: ProfileAnswer) -> list[str]:
        """Describes errors in an answer that must hold everything done before ``promised_s``."""
        wrong: list[str] = []
        for action, got in zip(ACTIONS, (answer.views, answer.buys), strict=True):
            wrong += self._problems(promised_s, answer.cookie, action, got)
        return wrong

    def _problems(
        self, promised_s: float, cookie: str, action: str, got: Sequence[UserTag]
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
