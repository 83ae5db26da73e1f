"""The schedule of a subscription, in positions: position p is due p / rate seconds after start.

A position is the number of a tag. They continue after the last tag, for the drain.
"""

from math import ceil

from tests.webpanel.eventtime import DAY_MS, MINUTE_MS
from tests.webpanel.options import SubscriptionOptions

# A tag is assumed to be settled this long after it is due, so that what a query covers usually
# depends on seed and rate alone. Where it takes longer, the real horizon (`settled`) decides.
ACCEPTED_S = 0.05


class Schedule:
    """Arithmetic only; knows no clock."""

    def __init__(self, options: SubscriptionOptions) -> None:
        self._options = options
        self.total = options.total_tags
        self.profiles = self.total // options.tags_per_profile
        self.aggregates = self.total // options.tags_per_aggregate
        self._profile_lag = ceil(options.rate * (options.profile_lag_s + ACCEPTED_S))
        self._aggregate_lag = ceil(options.rate * (options.aggregate_lag_s + ACCEPTED_S))
        # An incomplete first minute may hold tags of earlier streams.
        self.first_minute = -(-options.start_ms // MINUTE_MS)
        self.closed_minutes = max(0, self._end_minute(self.total) - self.first_minute)
        # Margin: event time goes on while a query waits for its answer.
        self._answer_ms = int(options.aggregate_timeout_s * options.rate * options.step_ms)

    def tags_due(self, position: float) -> int:
        """Number of tags that are due by now."""
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
        """Aggregates may be asked about all tags before this one."""
        return max(0, min(int(position) - self._aggregate_lag, settled, self.total))

    def answerable(self, horizon: int, sent: int) -> tuple[int, int]:
        """First and last minute that an aggregate query may cover; empty if last < first."""
        newest = self._end_minute(horizon) - 1
        newest_ms = self._options.event_ms(max(0, sent - 1))
        day = -(-(newest_ms + self._answer_ms - DAY_MS) // MINUTE_MS)
        return max(self.first_minute, day), newest

    def aggregate_due(self, asked: int, sent: int, newest: int) -> bool:
        """Whether an aggregate query is due that is not reserved for a future minute.

        One query is reserved for each minute to come. Where event time is so fast that there are
        more minutes than queries, at most half of them are, spread evenly over all minutes.
        """
        if asked >= sent // self._options.tags_per_aggregate:
            return False
        to_come = self.closed_minutes - (newest + 1 - self.first_minute)
        half = self.aggregates // 2
        saved = to_come * half // self.closed_minutes if self.closed_minutes > half else to_come
        return self.aggregates - asked > saved
