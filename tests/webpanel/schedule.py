"""When what is due. Positions count tags: position p is reached p / rate seconds after start.

Positions go on after the last tag, so that the drain is scheduled like the stream.
"""

from math import ceil

from tests.webpanel.eventtime import DAY_MS, MINUTE_MS
from tests.webpanel.options import SubscriptionOptions

# A tag counts as accepted so long after it is due. Usually it was, so that which tags a query
# covers depends on seed and rate alone; where it was not, the real horizon holds.
ACCEPTED_S = 0.05


class Schedule:
    """The pure arithmetic of a subscription's schedule."""

    def __init__(self, options: SubscriptionOptions) -> None:
        self._options = options
        self.total = options.total_tags
        self.profiles = self.total // options.tags_per_profile
        self.aggregates = self.total // options.tags_per_aggregate
        self._profile_lag = ceil(options.rate * (options.profile_lag_s + ACCEPTED_S))
        self._aggregate_lag = ceil(options.rate * (options.aggregate_lag_s + ACCEPTED_S))
        # A first minute that is not whole may hold tags of earlier streams.
        self.first_minute = -(-options.start_ms // MINUTE_MS)
        self.closed_minutes = max(0, self._end_minute(self.total) - self.first_minute)
        # Event time runs on while a query waits for its answer.
        self._answer_ms = int(options.aggregate_timeout_s * options.rate * options.step_ms)

    def tags_due(self, position: float) -> int:
        """So many tags must have been sent."""
        return min(self.total, int(position) + 1)

    def profile_horizon(self, number: int) -> int:
        """Profile query `number` covers the tags before this one."""
        return (number + 1) * self._options.tags_per_profile

    def profile_position(self, number: int) -> int:
        """Position at which profile query `number` is due."""
        return self.profile_horizon(number) + self._profile_lag

    def _end_minute(self, index: int) -> int:
        """Minutes before this one hold only tags before tag `index`."""
        return self._options.event_ms(index) // MINUTE_MS

    def aggregate_horizon(self, position: float, settled: int) -> int:
        """All tags before this one may be asked for in aggregates."""
        return max(0, min(int(position) - self._aggregate_lag, settled, self.total))

    def answerable(self, horizon: int, sent: int) -> tuple[int, int]:
        """First and last minute that an aggregate query may cover; none if last < first."""
        newest = self._end_minute(horizon) - 1
        newest_ms = self._options.event_ms(max(0, sent - 1))
        day = -(-(newest_ms + self._answer_ms - DAY_MS) // MINUTE_MS)
        return max(self.first_minute, day), newest

    def aggregate_due(self, asked: int, sent: int, newest: int) -> bool:
        """Is an aggregate query due that need not be saved for a minute still to come?

        One is saved for each such minute; but half of the queries at most, spread over all minutes
        evenly, where event time is so fast that there are more minutes than queries.
        """
        if asked >= sent // self._options.tags_per_aggregate:
            return False
        to_come = self.closed_minutes - (newest + 1 - self.first_minute)
        half = self.aggregates // 2
        saved = to_come * half // self.closed_minutes if self.closed_minutes > half else to_come
        return self.aggregates - asked > saved
