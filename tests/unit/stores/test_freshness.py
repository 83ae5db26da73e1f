"""Late, never wrong: with fakes for the stores and the time."""

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve_app.core.deadline import Deadline
from serve_app.core.errors import RuleBroken, StoreAway, Unavailable
from serve_app.core.metrics import PROFILE_WAITS, STORE_SECONDS
from serve_app.core.query import AggregateQuery, ProfileQuery
from serve_app.core.settings import Settings
from serve_app.freshness import FreshAggregates, FreshProfiles, behind
from serve_app.stores.log_ends import LogEnds, Offsets, Sample
from tests.fakes.clock import FakeClock
from tests.fakes.recorder import MemoryRecorder
from tests.fakes.views import (
    COOKIE,
    MINUTE,
    TOPIC_ID,
    FakeAggregates,
    FakeLogEnds,
    FakeProfiles,
)

QUERY = AggregateQuery(MINUTE, MINUTE + 1, "VIEW", ("COUNT",))
PROFILE = ProfileQuery(COOKIE, 0, 1_000)
offsets = st.dictionaries(st.integers(0, 5), st.integers(0, 10))


def sample(asked_s: float, ends: Offsets) -> Sample:
    return Sample(asked_s, TOPIC_ID, ends)


@given(wanted=offsets, reached=offsets)
def test_behind_is_empty_only_when_every_partition_is_reached(
    wanted: dict[int, int], reached: dict[int, int]
) -> None:
    lag = behind(wanted, reached)
    for partition in range(6):
        missing = wanted.get(partition, 0) - reached.get(partition, 0)
        assert lag.get(partition, 0) == max(0, missing)
    assert all(records > 0 for records in lag.values())
    assert (lag == {}) == all(reached.get(p, 0) >= n for p, n in wanted.items())


@given(gaps=st.lists(st.floats(0, 5), max_size=20), back_s=st.floats(-1, 110))
def test_the_oldest_sample_since_a_moment_is_the_first_that_is_not_older(
    gaps: list[float], back_s: float
) -> None:
    clock = FakeClock(0)
    ends = LogEnds(Settings(), clock)
    asked = []
    for gap_s in gaps:
        clock.advance(gap_s)
        asked.append(clock.now_s)
        # As its background task does; there is no Kafka here.
        ends._samples.append(sample(clock.now_s, {}))
    moment_s = clock.now_s - back_s
    found = ends.oldest_since(moment_s)
    later = [s for s in asked if s >= moment_s]
    assert (found.asked_s if found else None) == (later[0] if later else None)
    assert (ends.newest.asked_s if ends.newest else None) == (asked[-1] if asked else None)


class TestAggregates:
    @pytest.fixture
    def clock(self) -> FakeClock:
        return FakeClock()

    def fresh(
        self, tables: FakeAggregates, ends: FakeLogEnds, clock: FakeClock, promise_s: float = 60
    ) -> FreshAggregates:
        return FreshAggregates(tables, ends, promise_s=promise_s, clock=clock)  # type: ignore[arg-type]

    async def test_what_is_no_longer_kept_is_refused_and_not_answered_by_zeros(
        self, clock: FakeClock
    ) -> None:
        tables = FakeAggregates({0: 5})
        fresh = self.fresh(tables, FakeLogEnds([sample(clock.now_s, {0: 5})]), clock)
        query = AggregateQuery(MINUTE - 1, MINUTE + 1, "VIEW", ("COUNT",))
        for first_kept in (0, MINUTE - 1):
            tables.first_kept_minute = first_kept
            assert len((await fresh.answer(query, Deadline.after(55, clock))).rows) == 2
        for first_kept in (MINUTE, MINUTE + 1, MINUTE + 600):
            tables.first_kept_minute = first_kept
            with pytest.raises(RuleBroken) as refused:
                await fresh.answer(query, Deadline.after(55, clock))
            assert refused.value.field == "time_range"
        tables.first_kept_minute = MINUTE
        with pytest.raises(RuleBroken, match="nothing before 2022-03-01T00:00:00 is kept"):
            await fresh.answer(query, Deadline.after(55, clock))
        empty = AggregateQuery(MINUTE - 1, MINUTE - 1, "VIEW", ("COUNT",))
        assert (await fresh.answer(empty, Deadline.after(55, clock))).rows == []

    async def test_before_1970_there_is_nothing_and_that_is_the_answer(
        self, clock: FakeClock
    ) -> None:
        fresh = self.fresh(
            FakeAggregates({0: 5}), FakeLogEnds([sample(clock.now_s, {0: 5})]), clock
        )
        query = AggregateQuery(-2, 0, "VIEW", ("COUNT",))
        rows = (await fresh.answer(query, Deadline.after(55, clock))).rows
        assert [row[-1] for row in rows] == ["0", "0"]

    async def test_names_that_are_not_counted_are_refused(self, clock: FakeClock) -> None:
        tables = FakeAggregates({0: 5})
        tables.capped = frozenset({"origin"})
        fresh = self.fresh(tables, FakeLogEnds([sample(clock.now_s, {0: 5})]), clock)
        with pytest.raises(Unavailable, match=r"origin: .*DICTIONARY_MAX_NAMES") as refused:
            await fresh.answer(QUERY, Deadline.after(55, clock))
        assert refused.value.retry_after_s == 3600

    async def test_what_was_counted_long_ago_is_answered_at_once(self, clock: FakeClock) -> None:
        now = clock.now_s
        # Accepted 58 s ago: 5. Accepted since then, and not counted yet: 95 more.
        ends = FakeLogEnds([sample(now - 58, {0: 5}), sample(now - 1, {0: 100})])
        tables = FakeAggregates({0: 5})
        fresh = self.fresh(tables, ends, clock)
        answer = await fresh.answer(QUERY, Deadline.after(55, clock))
        assert answer.rows == [["2022-03-01T00:00:00", "VIEW", "5"]]
        # Nothing is asked of Kafka for it.
        assert (clock.now_s, tables.reads, fresh.rule.waited, ends.waits) == (now, 1, 0, [])

    async def test_a_sample_from_before_the_promise_does_not_count(self, clock: FakeClock) -> None:
        # 61 s ago there were 5. Between then and 60 s ago there may have been more: the next
        # sample says 8, and 5 are not enough.
        ends = FakeLogEnds([sample(clock.now_s - 61, {0: 5}), sample(clock.now_s - 10, {0: 8})])
        tables = FakeAggregates({0: 5})

        def count() -> None:
            if clock.now_s > 1_010:
                tables.counted = {0: 8}

        clock.on_sleep = count
        fresh = self.fresh(tables, ends, clock)
        answer = await fresh.answer(QUERY, Deadline.after(55, clock))
        assert answer.rows[0][-1] == "8"
        assert 1_010 < clock.now_s < 1_011
        assert fresh.rule.waited == 1

    @pytest.mark.parametrize("there_after_s", [0.1, 1, 4, 11, 30, 54])
    async def test_a_long_wait_looks_less_often_and_is_hardly_longer(
        self, clock: FakeClock, there_after_s: float
    ) -> None:
        asked_s = clock.now_s
        tables = FakeAggregates({0: 4})
        tables.error = StoreAway("the database does not answer")

        def come_back() -> None:
            if clock.now_s >= asked_s + there_after_s:
                tables.error, tables.counted = None, {0: 5}

        clock.on_sleep = come_back
        fresh = self.fresh(tables, FakeLogEnds([sample(asked_s, {0: 5})]), clock)
        assert (await fresh.answer(QUERY, Deadline.after(55, clock))).rows[0][-1] == "5"
        too_long_s = clock.now_s - asked_s - there_after_s
        assert 0 <= too_long_s <= max(0.25, min(2, there_after_s / 8))
        # Four a second all the time would be 220.
        assert tables.reads <= 50

    async def test_every_partition_must_be_there(self, clock: FakeClock) -> None:
        ends = FakeLogEnds([sample(clock.now_s - 30, {0: 5, 1: 5, 2: 0})])
        tables = FakeAggregates({0: 1_000})

        def count() -> None:
            tables.counted = {0: 1_000, 1: 5} if clock.now_s > 1_003 else {0: 1_000, 1: 4}

        clock.on_sleep = count
        answer = await self.fresh(tables, ends, clock).answer(QUERY, Deadline.after(55, clock))
        assert answer.rows[0][-1] == "1005"
        assert clock.now_s > 1_003

    @pytest.mark.parametrize("others", [{"b" * 32}, {TOPIC_ID, "b" * 32}])
    async def test_counts_of_another_topic_are_no_answer(
        self, clock: FakeClock, others: set[str]
    ) -> None:
        # However many tags of the topic of that name that was there before: they are not these.
        ends = FakeLogEnds([sample(clock.now_s - 30, {0: 5})])
        tables = FakeAggregates({0: 1_000})
        tables.topic_ids = frozenset(others)
        fresh = self.fresh(tables, ends, clock)
        with pytest.raises(Unavailable, match="topic"):
            await fresh.answer(QUERY, Deadline.after(5, clock))

    async def test_empty_tables_are_the_answer_to_an_empty_log(self, clock: FakeClock) -> None:
        ends = FakeLogEnds([sample(clock.now_s - 30, {0: 0, 1: 0})])
        tables = FakeAggregates({})
        tables.topic_ids = frozenset()
        answer = await self.fresh(tables, ends, clock).answer(QUERY, Deadline.after(5, clock))
        assert answer.rows[0][-1] == "0"

    async def test_after_the_deadline_it_is_503_with_the_lag(self, clock: FakeClock) -> None:
        ends = FakeLogEnds([sample(clock.now_s - 30, {0: 5, 1: 7})])
        fresh = self.fresh(FakeAggregates({0: 5}), ends, clock)
        with pytest.raises(Unavailable, match="7 tags behind") as caught:
            await fresh.answer(QUERY, Deadline.after(55, clock))
        assert caught.value.retry_after_s > 0
        assert 1_055 <= clock.now_s < 1_056

    async def test_without_a_sample_it_is_503(self, clock: FakeClock) -> None:
        ends = FakeLogEnds([sample(clock.now_s - 61, {0: 5})])
        fresh = self.fresh(FakeAggregates({0: 5}), ends, clock)
        with pytest.raises(Unavailable, match="nobody answers"):
            await fresh.answer(QUERY, Deadline.after(55, clock))
        assert ends.waits == [55]

    async def test_without_a_sample_one_is_waited_for(self, clock: FakeClock) -> None:
        ends = FakeLogEnds()
        ends.take = lambda timeout_s: sample(clock.now_s, {0: 5})
        fresh = self.fresh(FakeAggregates({0: 5}), ends, clock)
        assert (await fresh.answer(QUERY, Deadline.after(55, clock))).rows[0][-1] == "5"

    async def test_without_a_promise_all_that_is_accepted_is_counted(
        self, clock: FakeClock
    ) -> None:
        ends = FakeLogEnds([sample(clock.now_s - 0.1, {0: 5})])
        ends.take = lambda timeout_s: sample(clock.now_s, {0: 6})
        tables = FakeAggregates({0: 5})
        clock.on_sleep = lambda: tables.counted.update({0: 6})  # type: ignore[attr-defined]
        answer = await self.fresh(tables, ends, clock, 0).answer(QUERY, Deadline.after(55, clock))
        assert answer.rows[0][-1] == "6"

    async def test_a_database_that_is_away_is_waited_for(self, clock: FakeClock) -> None:
        ends = FakeLogEnds([sample(clock.now_s - 30, {0: 5})])
        tables = FakeAggregates({0: 5})
        tables.error = error = StoreAway("the database does not answer")

        def mend() -> None:
            if clock.now_s > 1_020:
                tables.error = None

        clock.on_sleep = mend
        fresh = self.fresh(tables, ends, clock)
        assert (await fresh.answer(QUERY, Deadline.after(55, clock))).rows[0][-1] == "5"
        tables.error = error
        clock.on_sleep = lambda: None
        with pytest.raises(Unavailable, match="database does not answer"):
            await fresh.answer(QUERY, Deadline.after(5, clock))

    async def test_a_statement_has_what_is_left_of_the_time(self, clock: FakeClock) -> None:
        ends = FakeLogEnds([sample(clock.now_s - 30, {0: 5})])
        tables = FakeAggregates({0: 4})
        fresh = self.fresh(tables, ends, clock)
        with pytest.raises(Unavailable):
            await fresh.answer(QUERY, Deadline.after(12, clock))
        # With a little more for the last one, which begins when nothing is left.
        assert tables.timeouts_s[0] == 10
        assert tables.timeouts_s[-1] == pytest.approx(0.25)
        assert tables.timeouts_s == sorted(tables.timeouts_s, reverse=True)

    @given(
        accepted=st.lists(st.tuples(st.integers(0, 2), st.floats(0, 200)), max_size=40),
        counted=st.lists(st.integers(0, 15), min_size=3, max_size=3),
        sampled=st.lists(st.floats(80, 200), max_size=12),
    )
    def test_an_answer_holds_all_that_is_promised(
        self, accepted: list[tuple[int, float]], counted: list[int], sampled: list[float]
    ) -> None:
        """``accepted``: (partition, time); the tables have the first of each partition."""
        now_s = 200.0

        def ends_at(moment_s: float) -> dict[int, int]:
            return {p: sum(q == p and at <= moment_s for q, at in accepted) for p in range(3)}

        clock = FakeClock(now_s)
        samples = [sample(at, ends_at(at)) for at in sorted(sampled)]
        tables = FakeAggregates({p: min(counted[p], ends_at(now_s)[p]) for p in range(3)})
        fresh = self.fresh(tables, FakeLogEnds(samples), clock)
        promised = ends_at(now_s - 60)
        try:
            asyncio.run(fresh.answer(QUERY, Deadline.after(1, clock)))
        except Unavailable:
            return
        assert all(tables.counted[p] >= promised[p] for p in range(3))


class TestProfiles:
    @pytest.fixture
    def clock(self) -> FakeClock:
        return FakeClock()

    def fresh(
        self, shard: FakeProfiles, ends: FakeLogEnds, clock: FakeClock, **options: Any
    ) -> FreshProfiles:
        return FreshProfiles(shard, ends, clock=clock, **options)  # type: ignore[arg-type]

    async def test_a_shard_that_is_up_to_date_is_answered_at_once(self, clock: FakeClock) -> None:
        ends = FakeLogEnds([sample(clock.now_s - 5, {0: 7, 1: 0})])
        shard = FakeProfiles({0: 7})
        fresh = self.fresh(shard, ends, clock)
        answer = await fresh.answer(PROFILE, Deadline.after(1, clock))
        assert answer.cookie == "cookie 1"
        # Nothing is asked of Kafka, and no map of the cluster.
        assert (shard.reads, ends.waits, shard.refreshes, fresh.rule.waited) == (1, [], [], 0)

    async def test_what_was_accepted_since_less_than_the_promise_does_not_matter(
        self, clock: FakeClock
    ) -> None:
        ends = FakeLogEnds([sample(clock.now_s - 8, {0: 7}), sample(clock.now_s - 1, {0: 99})])
        shard = FakeProfiles({0: 7})
        await self.fresh(shard, ends, clock).answer(PROFILE, Deadline.after(1, clock))
        assert (shard.reads, ends.waits) == (1, [])

    async def test_a_sample_from_before_the_promise_does_not_count(self, clock: FakeClock) -> None:
        # 10.1 s ago there were 7. Then there may have been more: the next sample says 8.
        ends = FakeLogEnds([sample(clock.now_s - 10.1, {0: 7}), sample(clock.now_s - 3, {0: 8})])
        shard = FakeProfiles({0: 7})
        with pytest.raises(Unavailable, match="1 tags behind"):
            await self.fresh(shard, ends, clock).answer(PROFILE, Deadline.after(1, clock))

    async def test_a_shard_that_is_behind_is_503_with_how_far(self, clock: FakeClock) -> None:
        ends = FakeLogEnds([sample(clock.now_s - 8, {0: 7, 1: 3})])
        shard = FakeProfiles({0: 7, 1: 1})
        recorder = MemoryRecorder()
        fresh = self.fresh(shard, ends, clock, recorder=recorder)
        with pytest.raises(Unavailable, match=r"profiles are 2 tags behind: \{1: 2\}") as caught:
            await fresh.answer(PROFILE, Deadline.after(1, clock))
        assert caught.value.retry_after_s > 0
        assert 1_001 <= clock.now_s < 1_001.3
        assert recorder.counts == {(PROFILE_WAITS, ()): 1}
        assert len(recorder.samples[STORE_SECONDS, ("redis", "read")]) == shard.reads

    async def test_what_is_applied_meanwhile_is_answered_as_it_is_then(
        self, clock: FakeClock
    ) -> None:
        # Behind since 8 s ago; newer tags (of the last second) do not matter.
        ends = FakeLogEnds([sample(clock.now_s - 8, {0: 5}), sample(clock.now_s - 1, {0: 9})])
        shard = FakeProfiles({})

        def apply() -> None:
            if clock.now_s > 1_000.3:
                shard.offsets = {0: 5}

        clock.on_sleep = apply
        answer = await self.fresh(shard, ends, clock).answer(PROFILE, Deadline.after(1, clock))
        # Not the first one: that was read from a shard that was behind.
        assert answer.cookie == f"cookie {shard.reads}"
        assert shard.reads > 1

    async def test_a_shard_that_is_away_is_waited_for_with_a_fresh_map(
        self, clock: FakeClock
    ) -> None:
        ends = FakeLogEnds([sample(clock.now_s - 8, {0: 5})])
        shard = FakeProfiles({0: 5})
        shard.error = StoreAway("profiles: Redis node a:1 is down")

        def mend() -> None:
            if clock.now_s > 1_000.5:
                shard.error = None

        clock.on_sleep = mend
        fresh = self.fresh(shard, ends, clock)
        await fresh.answer(PROFILE, Deadline.after(1, clock))
        assert len(shard.refreshes) == shard.reads - 1
        assert all(0 < timeout_s <= 0.05 for timeout_s in shard.refreshes)
        assert fresh.rule.waited == 1

    async def test_a_shard_that_stays_away_is_503(self, clock: FakeClock) -> None:
        ends = FakeLogEnds([sample(clock.now_s - 8, {0: 5})])
        shard = FakeProfiles({0: 5})
        shard.error = StoreAway("profiles: Redis node a:1 is down")
        with pytest.raises(Unavailable, match="a:1 is down"):
            await self.fresh(shard, ends, clock).answer(PROFILE, Deadline.after(1, clock))

    async def test_what_a_shard_lost_for_good_is_refused(self, clock: FakeClock) -> None:
        ends = FakeLogEnds([sample(clock.now_s - 8, {0: 5})])
        shard = FakeProfiles({0: 5})
        shard.lost = "shard a:1 lost more than the log still has"
        with pytest.raises(Unavailable, match="lost more than the log"):
            await self.fresh(shard, ends, clock).answer(PROFILE, Deadline.after(1, clock))

    @pytest.mark.parametrize("others", [{"b" * 32}, {TOPIC_ID, "b" * 32}])
    async def test_a_shard_made_of_another_topic_is_refused(
        self, clock: FakeClock, others: set[str]
    ) -> None:
        ends = FakeLogEnds([sample(clock.now_s - 8, {0: 5})])
        shard = FakeProfiles({0: 1_000})
        shard.topic_ids = frozenset(others)
        with pytest.raises(Unavailable, match="made again"):
            await self.fresh(shard, ends, clock).answer(PROFILE, Deadline.after(1, clock))

    async def test_with_the_log_out_of_reach_the_newest_sample_decides(
        self, clock: FakeClock
    ) -> None:
        ends = FakeLogEnds([sample(clock.now_s - 70, {0: 6}), sample(clock.now_s - 60, {0: 7})])
        shard = FakeProfiles({0: 7})
        fresh = self.fresh(shard, ends, clock)
        await fresh.answer(PROFILE, Deadline.after(1, clock))
        assert (shard.reads, ends.waits) == (1, [])
        shard.offsets = {0: 6}
        with pytest.raises(Unavailable, match="1 tags behind"):
            await fresh.answer(PROFILE, Deadline.after(1, clock))

    async def test_without_any_sample_it_is_503(self, clock: FakeClock) -> None:
        shard = FakeProfiles({0: 7})
        with pytest.raises(Unavailable, match="nobody answers"):
            await self.fresh(shard, FakeLogEnds(), clock).answer(PROFILE, Deadline.after(1, clock))
        assert shard.reads == 0

    @pytest.mark.parametrize(
        ("sampled_s", "trouble_s", "refused"),
        [
            # The log answers: what it says is all that counts.
            (-5.0, -1.0, False),
            # It does not, and the shard failed since it last did.
            (-60.0, -59.0, True),
            (-60.0, 0.0, True),
            # The quick write of a tag that the sample just missed may have failed.
            (-60.0, -60.5, True),
            # It failed long before, and has caught up with the sample since.
            (-60.0, -62.0, False),
        ],
    )
    async def test_with_the_log_out_of_reach_a_shard_that_was_in_trouble_is_refused(
        self, clock: FakeClock, sampled_s: float, trouble_s: float, refused: bool
    ) -> None:
        ends = FakeLogEnds([sample(clock.now_s + sampled_s, {0: 7})])
        shard = FakeProfiles({0: 7})
        shard.in_trouble_s = clock.now_s + trouble_s
        fresh = self.fresh(shard, ends, clock)
        if refused:
            with pytest.raises(Unavailable, match="may lack accepted tags"):
                await fresh.answer(PROFILE, Deadline.after(1, clock))
        else:
            await fresh.answer(PROFILE, Deadline.after(1, clock))

    @pytest.mark.parametrize(("sampled_s", "refused"), [(-5.0, False), (-60.0, True)])
    async def test_with_the_log_out_of_reach_and_no_quick_writes_all_are_refused(
        self, clock: FakeClock, sampled_s: float, refused: bool
    ) -> None:
        """Another replica may take tags that nobody has applied: no failed write tells of them."""
        ends = FakeLogEnds([sample(clock.now_s + sampled_s, {0: 7})])
        fresh = self.fresh(FakeProfiles({0: 7}), ends, clock)
        fresh.quick_writes = False
        if refused:
            with pytest.raises(Unavailable, match="nobody but the actors"):
                await fresh.answer(PROFILE, Deadline.after(1, clock))
        else:
            await fresh.answer(PROFILE, Deadline.after(1, clock))

    @given(
        accepted=st.lists(st.tuples(st.integers(0, 2), st.floats(0, 40)), max_size=40),
        applied=st.lists(st.integers(0, 15), min_size=3, max_size=3),
        sampled=st.lists(st.floats(0, 40), max_size=12),
    )
    def test_an_answer_holds_all_that_was_accepted_before_the_newest_sample(
        self, accepted: list[tuple[int, float]], applied: list[int], sampled: list[float]
    ) -> None:
        """And all that is promised, as long as there is a sample that is new enough."""
        now_s = 40.0

        def ends_at(moment_s: float) -> dict[int, int]:
            return {p: sum(q == p and at <= moment_s for q, at in accepted) for p in range(3)}

        clock = FakeClock(now_s)
        samples = [sample(at, ends_at(at)) for at in sorted(sampled)]
        shard = FakeProfiles({p: min(applied[p], ends_at(now_s)[p]) for p in range(3)})
        fresh = self.fresh(shard, FakeLogEnds(samples), clock)
        try:
            asyncio.run(fresh.answer(PROFILE, Deadline.after(1, clock)))
        except Unavailable:
            newest = samples[-1].ends if samples else None
            assert newest is None or behind(newest, shard.offsets)
            return
        promised = ends_at(min(now_s - 10, max(sampled)))
        assert all(shard.offsets[p] >= promised[p] for p in range(3))
