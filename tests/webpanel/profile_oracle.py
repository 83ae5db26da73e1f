"""The profiles that the server must have, in memory that does not grow with the stream."""

from array import array
from bisect import bisect_left
from collections import deque

from tests.webpanel.stream import action_of, cookie_of

KEPT = 200  # newest tags of each action that the server must keep
_SLACK = 64  # trim in batches: each trim moves the whole array
_UNCERTAIN = 1 << 60
_CODE = _UNCERTAIN - 1
_MAX_EVENTS = 200_000


class ActionHistory:
    """The newest tags of one action of one cookie that were sent, oldest first."""

    __slots__ = ("_codes", "_times", "total")

    def __init__(self) -> None:
        self._times = array("q")
        self._codes = array("q")
        self.total = 0

    def __len__(self) -> int:
        """Number of tags held: at least the newest 200, or all."""
        return len(self._times)

    def add(self, ms: int, code: int) -> None:
        """Append a tag that is newer than all before."""
        self._times.append(ms)
        self._codes.append(code)
        self.total += 1
        if len(self._times) > KEPT + _SLACK:
            del self._times[:-KEPT], self._codes[:-KEPT]

    def mark_uncertain(self, ms: int) -> None:
        """Mark the tag of this time as dropped: the server may have it or not."""
        at = bisect_left(self._times, ms)
        if at < len(self._times) and self._times[at] == ms:
            self._codes[at] |= _UNCERTAIN

    def floor_ms(self) -> int | None:
        """Event time from which on the server must have everything; None: from the start.

        Every tag that was sent may have displaced an older one.
        """
        return self._times[-KEPT] if self.total > KEPT else None

    def time_of(self, at: int) -> int:
        """Event time of a tag held here, counted from the oldest, modulo their number."""
        return self._times[at % len(self._times)]

    def newest(self, from_ms: int, to_ms: int, limit: int) -> list[tuple[int, int, bool, int]]:
        """Candidates for an answer, newest first: (ms, code, uncertain, rank from 1).

        Ends after `limit` certain tags, because an uncertain one may be absent and leave its place
        to an older one. Never goes past rank 200.
        """
        times, codes = self._times, self._codes
        high = bisect_left(times, to_ms)
        low = max(bisect_left(times, from_ms), len(times) - KEPT)
        found: list[tuple[int, int, bool, int]] = []
        certain = 0
        for at in range(high - 1, low - 1, -1):
            if certain == limit:
                break
            code = codes[at]
            uncertain = code >= _UNCERTAIN
            certain += not uncertain
            found.append((times[at], code & _CODE, uncertain, len(times) - at))
        return found


class ProfileOracle:
    """Histories of the watched cookies, which are the first ones in the stream, up to a bound.

    So a short run watches nearly all its cookies, and a long one a fixed sample of popular and
    rare ones, each with its complete history.
    """

    def __init__(self, watched_cookies: int) -> None:
        """Watch at most `most` cookies."""
        self._bound = watched_cookies
        self._histories: dict[int, tuple[ActionHistory, ActionHistory]] = {}
        self.cookies: list[int] = []
        self.busy: list[int] = []  # with two tags of one action, as order and limit need
        # (tag number, cookie) of watched tags; consumed by the questions as they become due.
        self.events: deque[tuple[int, int]] = deque(maxlen=_MAX_EVENTS)

    def record(self, index: int, ms: int, code: int) -> None:
        """Add a tag that is about to be sent."""
        cookie = cookie_of(code)
        history = self._histories.get(cookie)
        if history is None:
            if len(self.cookies) >= self._bound:
                return
            history = self._histories[cookie] = (ActionHistory(), ActionHistory())
            self.cookies.append(cookie)
        side = history[action_of(code)]
        side.add(ms, code)
        if side.total == 2:
            self.busy.append(cookie)
        self.events.append((index, cookie))

    def drop(self, ms: int, code: int) -> None:
        """Mark a sent tag as dropped: it was not acknowledged in time."""
        history = self._histories.get(cookie_of(code))
        if history is not None:
            history[action_of(code)].mark_uncertain(ms)

    def history(self, cookie: int) -> tuple[ActionHistory, ActionHistory]:
        """Views and buys of a watched cookie."""
        return self._histories[cookie]
