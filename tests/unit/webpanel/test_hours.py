"""The stream in bulk: every tag once, in its place, wherever a run goes on."""

import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.bench.day.disk import needed_bytes
from tests.bulk import week
from tests.bulk.hours import BLOCK_TAGS, HOUR_TAGS, PARTITIONS, START_MS, hour_bodies, partition_end
from tests.bulk.log import blocks
from tests.webpanel.eventtime import parse_event_time


@given(st.integers(0, 200))
def test_partitions_take_tags_in_turn(tags: int) -> None:
    for number in range(PARTITIONS):
        assert partition_end(tags, number) == len(range(tags)[number::PARTITIONS])


@pytest.mark.parametrize(
    ("first", "stop"),
    [(0, 1), (5_000, 20_000), (BLOCK_TAGS, 2 * BLOCK_TAGS), (3, 3), (7, 5), (20_000, 20_001)],
)
def test_blocks_hold_all_tags_from_a_whole_block_on(first: int, stop: int) -> None:
    made = list(blocks(first, stop))
    assert all(at % BLOCK_TAGS == 0 and at % PARTITIONS == 0 for at, _ in made)
    assert all(at + len(block) == after for (at, block), (after, _) in itertools.pairwise(made))
    bodies = [body for _, block in made for body in block]
    if first < stop:
        assert made[0][0] <= first
        assert made[-1][0] + len(made[-1][1]) == stop
        assert parse_event_time(json.loads(bodies[-1])["time"]) == START_MS + stop - 1
        assert bodies == list(hour_bodies(0, made[0][0], stop))
    else:
        # Nothing that the log lacks.
        assert len(bodies) < BLOCK_TAGS


@pytest.mark.parametrize("first", [0, 1, BLOCK_TAGS, week.HOUR_TAGS - 5, week.HOUR_TAGS])
def test_a_week_is_the_same_wherever_it_goes_on(first: int) -> None:
    stop = week.HOUR_TAGS + 100
    at = first // BLOCK_TAGS * BLOCK_TAGS
    made = list(week.blocks(first, stop))
    assert [number for number, _ in made] == list(range(at, stop, BLOCK_TAGS))
    assert all(number % PARTITIONS == 0 for number, _ in made)
    bodies = [body for _, block in made for body in block]
    assert bodies == list(week.bodies(0, stop))[at:]


def test_a_week_has_origins_of_its_days() -> None:
    tags = [json.loads(body) for body in week.bodies(week.DAY_TAGS - 100, week.DAY_TAGS + 100)]
    campaigns = [tag["origin"] for tag in tags if tag["origin"].startswith("DAY_")]
    assert {name.rsplit("_", 1)[0] for name in campaigns} == {"DAY_0", "DAY_1"}
    assert len(campaigns) == 4
    assert parse_event_time(tags[100]["time"]) == START_MS + 24 * 3_600_000


@given(tags=st.integers(0, 24 * HOUR_TAGS), done=st.integers(0, 24 * HOUR_TAGS))
def test_what_is_done_needs_no_space_again(tags: int, done: int) -> None:
    assert needed_bytes(tags, done) <= needed_bytes(tags, 0)
    assert needed_bytes(tags, tags) == needed_bytes(0, 0)
