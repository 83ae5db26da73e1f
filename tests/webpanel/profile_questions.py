"""Chooses profile queries with their ranges and limits, and works out their answers."""

from dataclasses import dataclass
from random import Random

from tests.webpanel.catalogue import cookie_name, unknown_cookie
from tests.webpanel.eventtime import range_time
from tests.webpanel.profile_oracle import KEPT, ActionHistory, ProfileOracle
from tests.webpanel.stream import tag_json


@dataclass(slots=True, frozen=True)
class Candidate:
    """A tag that an answer may hold; `uncertain` if dropped, `rank` 1 is the newest."""

    json: str
    uncertain: bool
    rank: int


@dataclass(slots=True, frozen=True)
class ProfileQuestion:
    """A profile query and its expected answer.

    Attributes:
        path: request target.
        limit: maximum of tags of each action.
        candidates: views and buys, newest first, until `limit` certain ones are in.
        expected: JSON of the answer if the server has all uncertain tags too.
        cookie: number of the cookie, None for an unknown one.
        totals: views and buys of the cookie that were sent when the question was made.
    """

    path: str
    limit: int
    candidates: tuple[list[Candidate], list[Candidate]]
    expected: bytes
    cookie: int | None
    totals: tuple[int, int]


def _question(
    name: str,
    cookie: int | None,
    span: tuple[int, int],
    limit: int,
    history: tuple[ActionHistory, ActionHistory] | None,
) -> ProfileQuestion:
    from_ms, to_ms = span
    sides: list[list[Candidate]] = [[], []]
    if history is not None:
        for action in (0, 1):
            sides[action] = [
                Candidate(tag_json(ms, code), uncertain, rank)
                for ms, code, uncertain, rank in history[action].newest(from_ms, to_ms, limit)
            ]
    views, buys = (",".join(tag.json for tag in side[:limit]) for side in sides)
    start, end = range_time(from_ms, keep_zeros=False), range_time(to_ms, keep_zeros=True)
    # 200 is the default: leave it out at times.
    tail = "" if limit == KEPT and to_ms % 8 == 0 else f"&limit={limit}"
    return ProfileQuestion(
        path=f"/user_profiles/{name}?time_range={start}_{end}{tail}",
        limit=limit,
        candidates=(sides[0], sides[1]),
        expected=f'{{"cookie":"{name}","views":[{views}],"buys":[{buys}]}}'.encode(),
        cookie=cookie,
        totals=(history[0].total, history[1].total) if history else (0, 0),
    )


class ProfileQuestions:
    """Generates the questions: the same seed and rate give the same questions."""

    def __init__(self, seed: int, oracle: ProfileOracle, start_ms: int) -> None:
        """`start_ms`: start of the stream; no question is about earlier times."""
        self._rng = Random(f"web panel profiles {seed}")
        self._oracle = oracle
        self._start_ms = start_ms
        self._due: int | None = None  # cookie of the newest watched tag that is due
        self._asked = 0

    def next(self, horizon: int, to_ms: int) -> ProfileQuestion:
        """The next question; all tags before number `horizon` (event time `to_ms`) are due."""
        events = self._oracle.events
        while events and events[0][0] < horizon:
            self._due = events.popleft()[1]
        self._asked += 1
        rng = self._rng
        kind = rng.random()
        if kind < 0.02 or not self._oracle.cookies:
            name = unknown_cookie(self._asked)
            return _question(name, None, (self._start_ms, to_ms), KEPT, None)
        cookie = self._due
        if cookie is None or kind < 0.5:
            cookie = self._any_cookie()
        self._due = None
        return self._about(cookie, to_ms)

    def _any_cookie(self) -> int:
        """A watched cookie, preferably with several tags: most have only one."""
        rng, oracle = self._rng, self._oracle
        some = oracle.busy if oracle.busy and rng.random() < 0.7 else oracle.cookies
        return some[int(rng.random() * len(some))]

    def _about(self, cookie: int, to_ms: int) -> ProfileQuestion:
        """A question whose answer the contract determines.

        Beyond 200 tags of an action the server may keep older ones or not, so the range starts at
        the oldest guaranteed tag, or the limit ends the answer before that point.
        """
        history = self._oracle.history(cookie)
        full = [side for side in history if side.floor_ms() is not None]
        from_ms, limit = self._start_ms, KEPT
        rng = self._rng
        shape = rng.random()
        if full and shape < 0.5:
            guaranteed = (side.newest(from_ms, to_ms, KEPT) for side in full)
            limit = min(sum(not uncertain for _, _, uncertain, _ in tags) for tags in guaranteed)
            if shape < 0.15:
                limit = min(limit, rng.randrange(1, 20))
        else:
            floors = (side.floor_ms() for side in full)
            from_ms = min(to_ms, max([from_ms, *(floor for floor in floors if floor is not None)]))
            if shape > 0.8 and to_ms > from_ms:
                from_ms, to_ms = self._short(history, from_ms, to_ms)
            elif shape > 0.65:
                # A limit that cuts the answer, if an action has two tags.
                found = max(len(side.newest(from_ms, to_ms, 20)) for side in history)
                limit = rng.randrange(1, max(2, found))
            elif shape > 0.62:
                limit = 0
        return _question(cookie_name(cookie), cookie, (from_ms, to_ms), limit, history)

    def _short(
        self, history: tuple[ActionHistory, ActionHistory], from_ms: int, to_ms: int
    ) -> tuple[int, int]:
        """A range within this one, from as short as the contract's example to somewhat longer.

        Half of them start or end exactly at a tag, to test that only the start is inclusive.
        """
        rng = self._rng
        length = rng.choice((809, 5_000, 60_000, 600_000))
        end = rng.randrange(from_ms, to_ms) + 1
        side = history[0] if len(history[0]) else history[1]
        exact = side.time_of(rng.randrange(2**31))
        snap = rng.random()
        if from_ms < exact < to_ms and snap < 0.5:
            if snap < 0.25:
                return exact, min(to_ms, exact + length)
            end = exact
        return max(from_ms, end - length), end
