"""The loop of a partition with everything around it in memory."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.aggregates.ports import Position
from actors.errors import SinkUnavailable
from actors.log.ports import Record
from tests.fakes.actors import Bench, tag_json
from tests.fakes.log import TOPIC_ID

pytestmark = pytest.mark.asyncio


def total(bench: Bench) -> int:
    return sum(bench.sink.counts.values())


async def test_counts_everything_and_tells_where_it_is() -> None:
    bench = Bench([tag_json(price=number) for number in range(5)], begin=100)
    await bench.run_until(lambda: bench.all_stored() and bench.actor.status.tags == 5)
    assert bench.sink.stored == Position(TOPIC_ID, 105, 1646092801500)
    assert list(bench.sink.sums.values()) == [10]
    document = bench.actor.status.document()
    assert document["state"] == "running"
    assert (document["offset"], document["log_end"], document["lag"]) == (105, 105, 0)
    assert document["watermark"] == "2022-03-01T00:00:01.500Z"
    assert document["last_flush"].endswith("Z")
    assert document["error"] is None


async def test_empty_tables_and_a_log_that_was_cut_are_not_taken_for_whole() -> None:
    bench = Bench([tag_json()] * 3)
    bench.log.begin = 2
    await bench.run_until(lambda: bench.actor.status.state.startswith("failed"))
    assert bench.actor.status.error is not None
    assert "begins at 2" in bench.actor.status.error
    # Without a position queries are refused.
    assert await bench.sink.position() is None


async def test_waits_for_the_flush_interval() -> None:
    bench = Bench([tag_json()] * 3, flush_interval_s=2)
    started_s = bench.clock.now_s
    await bench.run_until(bench.all_stored)
    # Plus the moment in which the end of the flush is noticed.
    assert 2 <= bench.clock.now_s - started_s < 2.5
    assert bench.sink.flushes == [(0, 3)]


async def test_flushes_at_the_row_limit_without_waiting() -> None:
    values = [tag_json(origin=f"o{number}") for number in range(30)]
    bench = Bench(values, flush_rows=10, poll_records=5, flush_interval_s=1_000)
    await bench.run_until(bench.all_stored)
    assert bench.sink.flushes == [(0, 10), (10, 20), (20, 30)]


async def test_stops_fetching_behind_a_slow_flush() -> None:
    values = [tag_json(origin=f"o{number}") for number in range(100)]
    bench = Bench(values, flush_rows=10, poll_records=10)
    at_flush = []
    bench.sink.before_flush = lambda: at_flush.append(bench.reader.at)
    await bench.run_until(bench.all_stored)
    # While one batch is written at most one more is fetched.
    assert all(at <= 20 + 10 * number for number, at in enumerate(at_flush))


async def test_a_lost_answer_to_the_commit_counts_once() -> None:
    bench = Bench([tag_json()] * 4)
    bench.sink.faults = ["after"]
    await bench.run_until(lambda: bench.actor.status.state == "running" and bench.all_stored())
    assert total(bench) == 4


async def test_an_error_before_the_commit_counts_once() -> None:
    bench = Bench([tag_json()] * 4)
    bench.sink.faults = ["before", "before"]
    await bench.run_until(bench.all_stored)
    assert total(bench) == 4


async def test_a_rival_is_left_alone_for_as_long_as_it_moves(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bench = Bench([tag_json()] * 10, flush_interval_s=2, stand_by_intervals=3)
    moves = iter(range(4, 9))

    def rival() -> None:
        bench.sink.stored = Position(TOPIC_ID, 3, None)
        bench.sink.before_flush = lambda: None

    bench.sink.before_flush = rival
    position = bench.sink.position

    async def moving() -> Position | None:
        if bench.actor.status.conflicts:
            offset = next(moves, 8)
            if bench.next_offset < offset <= 8:
                bench.sink.stored = Position(TOPIC_ID, offset, None)
        return await position()

    monkeypatch.setattr(bench.sink, "position", moving)
    await bench.run_until(bench.all_stored)
    assert bench.actor.status.conflicts == 1
    # Offsets 3 to 7 were the rival's; ours are the last two only.
    assert bench.sink.flushes == [(8, 10)]
    assert total(bench) == 2


async def test_standing_by_survives_a_database_that_goes_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bench = Bench([tag_json()] * 2)
    bench.sink.faults = ["conflict"]
    position, calls = bench.sink.position, []

    async def flaky() -> Position | None:
        calls.append(1)
        if len(calls) in (2, 3):
            raise SinkUnavailable("away")
        return await position()

    monkeypatch.setattr(bench.sink, "position", flaky)
    await bench.run_until(bench.all_stored)
    assert total(bench) == 2


async def test_unreadable_records_become_dead_letters_and_stop_nothing() -> None:
    bench = Bench([tag_json(), b"junk", None, tag_json()], begin=7)
    await bench.run_until(lambda: bench.actor.status.tags == 2)
    assert [letter.record.offset for letter in bench.letters.kept] == [8, 9]
    assert "JSON" in bench.letters.kept[0].reason
    assert bench.actor.status.dead_letters == 2
    assert bench.next_offset == 11


async def test_the_offset_waits_for_the_dead_letter() -> None:
    bench = Bench([b"junk"])
    bench.letters.away = True
    await bench.run_until(lambda: bench.actor.status.state.startswith("waiting: dead letters"))
    assert bench.next_offset == 0
    bench.letters.away = False
    await bench.run_until(bench.all_stored)
    assert len(bench.letters.kept) == 1


async def test_a_replaced_topic_stops_the_partition_until_it_is_back() -> None:
    bench = Bench([tag_json()] * 3)
    await bench.run_until(bench.all_stored)
    bench.log.topic_id = "cd" * 16
    bench.log.put(*[tag_json()] * 5)
    await bench.run_until(lambda: bench.actor.status.state.startswith("failed"))
    assert "replaced" in bench.actor.status.state
    assert total(bench) == 3
    bench.log.topic_id = TOPIC_ID
    await bench.run_until(bench.all_stored)
    assert total(bench) == 8


async def test_a_topic_replaced_between_fetch_and_flush_is_not_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bench = Bench([tag_json()] * 3)
    await bench.run_until(bench.all_stored)
    fetch = bench.reader.fetch

    async def replaced(max_records: int, timeout_s: float) -> list[Record]:
        records = await fetch(max_records, timeout_s)
        if records:
            bench.log.topic_id = "cd" * 16
        return records

    monkeypatch.setattr(bench.reader, "fetch", replaced)
    bench.log.put(*[tag_json()] * 5)
    await bench.run_until(lambda: bench.actor.status.state.startswith("failed"))
    assert total(bench) == 3


async def test_an_idle_actor_notices_a_replaced_topic_and_a_missing_kafka() -> None:
    bench = Bench([tag_json()])
    await bench.run_until(bench.all_stored)
    bench.log.away = True
    await bench.run_until(lambda: bench.actor.status.state == "waiting: Kafka is away")
    bench.log.away, bench.log.topic_id = False, "cd" * 16
    await bench.run_until(lambda: bench.actor.status.state.startswith("failed"))


async def test_a_log_that_has_records_and_hands_none_over_is_opened_anew() -> None:
    bench = Bench([tag_json()])
    await bench.run_until(bench.all_stored)
    bench.reader.silent = True
    bench.log.put(*[tag_json()] * 3)
    began_s = bench.clock.monotonic()
    await bench.run_until(bench.all_stored)
    assert total(bench) == 4
    assert bench.clock.monotonic() - began_s < 30
    # Nothing to hand over is no reason.
    bench.reader.silent = True
    idle_s = bench.clock.monotonic()
    await bench.run_until(lambda: bench.clock.monotonic() > idle_s + 60)
    assert bench.reader.silent


@pytest.mark.parametrize(("begin", "stored"), [(10, 9), (10, 14)])
async def test_an_offset_outside_of_the_log_is_loud(begin: int, stored: int) -> None:
    bench = Bench([tag_json()] * 3, begin=begin)
    bench.sink.stored = Position(TOPIC_ID, stored, None)
    await bench.run_until(lambda: bench.actor.status.state.startswith("failed"))
    assert f"next offset is {stored}" in str(bench.actor.status.error)
    assert bench.reader.fetches == 0


async def test_every_wait_shows_a_sign_of_life() -> None:
    bench = Bench([tag_json()])
    bench.log.away = True
    task_state = "waiting: Kafka is away"
    await bench.run_until(lambda: bench.actor.status.state == task_state)
    assert bench.actor.seconds_since_beat() <= 1


FAULTS = st.lists(st.sampled_from(["", "before", "after", "conflict"]), max_size=12)


@settings(max_examples=60, deadline=None)
@given(faults=FAULTS, count=st.integers(0, 40), rows=st.integers(1, 10))
async def test_any_faults_leave_exact_counts(faults: list[str], count: int, rows: int) -> None:
    values = [
        b"junk" if number % 7 == 3 else tag_json(origin=f"o{number % 9}", price=number)
        for number in range(count)
    ]
    bench = Bench(values, flush_rows=rows, poll_records=4)
    bench.sink.faults = list(faults)
    await bench.run_until(bench.all_stored)
    readable = [number for number in range(count) if number % 7 != 3]
    assert total(bench) == len(readable)
    assert sum(bench.sink.sums.values()) == sum(readable)
    # In one unbroken chain, each flush from where the last one ended.
    ends = [0, *(end for _, end in bench.sink.flushes)]
    assert [start for start, _ in bench.sink.flushes] == ends[:-1]


async def test_an_idle_actor_notices_that_the_tables_were_replaced() -> None:
    bench = Bench([tag_json()] * 6)
    swapped: list[bool] = []

    def swapped_and_caught_up() -> bool:
        if not swapped and bench.actor.status.tags == 6:
            # As a rebuild leaves it that was swapped in before it had counted the last tags.
            bench.sink.stored = Position(TOPIC_ID, 4, None)
            swapped.append(True)
        return bool(swapped) and bench.all_stored()

    await bench.run_until(swapped_and_caught_up)
    assert bench.sink.flushes == [(0, 6), (4, 6)]
    assert bench.actor.status.conflicts == 1
