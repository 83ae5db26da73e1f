"""The rules of the tools that change profiles."""

from types import SimpleNamespace
from typing import Any

import pytest

from actors.errors import LogUnavailable
from actors.log.topic_reader import TopicReader
from actors.tools.erase.kept_records import KeptRecords
from actors.tools.erase.run import DAY_MS, Eraser, keep_ms
from actors.tools.positions import ShardPositions
from actors.tools.rebuild.errors import RebuildRefused
from actors.tools.rebuild.profiles import applied, check_log_is_whole
from serve_app.core.erasure import Mark
from serve_app.core.position import ViewPosition
from serve_app.core.settings import Settings
from serve_app.core.slots import SLOTS


@pytest.mark.parametrize(
    ("retention_ms", "kept_ms"), [(-1, 0), (0, 7 + DAY_MS), (1000, 1007 + DAY_MS)]
)
def test_a_mark_outlives_the_tags_that_it_covers(retention_ms: int, kept_ms: int) -> None:
    assert keep_ms(KeptRecords("t", retention_ms, 7)) == kept_ms


def test_records_are_gone_a_segment_after_their_retention() -> None:
    assert KeptRecords("t", 1000, 7, erased_ms=5).gone_ms == 1012
    assert KeptRecords("t", -1, 7, erased_ms=5).gone_ms is None


TOPIC, OTHER = "ab" * 16, "cd" * 16


@pytest.mark.parametrize(
    ("position_of", "mark", "pending"),
    [
        (TOPIC, f"0:5,@{TOPIC}", []),
        (TOPIC, f"0:5,@{OTHER}", ["has not deleted"]),
        (TOPIC, "0:5", ["has not deleted"]),
        (OTHER, f"0:5,@{TOPIC}", ["no position of partition 0"]),
        (OTHER, f"0:5,@{OTHER}", ["has not deleted", "no position of partition 0"]),
    ],
)
@pytest.mark.asyncio
async def test_an_erasure_is_done_when_mark_and_position_are_of_its_topic(
    position_of: str, mark: str, pending: list[str]
) -> None:
    class Shards:
        def shard_of(self, key: str) -> SimpleNamespace:
            return SimpleNamespace(homes=(0, 1), name="n", owners={"o"})

        async def on_master(self, shard: object, commands: object) -> tuple[list[bytes], bytes]:
            position = ViewPosition(position_of, 9, ((0, SLOTS - 1),), "o/r")
            return [b"0", position.encode().encode()], mark.encode()

    nothing: Any = None
    eraser = Eraser(nothing, nothing, Shards(), nothing, nothing)  # type: ignore[arg-type]
    found = await eraser._pending("c", Mark(TOPIC, {0: 5}), {0: 7})
    assert len(found) == len(pending)
    assert all(part in line for part, line in zip(pending, found, strict=True))


@pytest.mark.asyncio
async def test_a_topic_that_was_replaced_meanwhile_is_noticed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def look_up(self: TopicReader) -> tuple[tuple[int, ...], str]:
        return (0,), TOPIC

    monkeypatch.setattr(TopicReader, "_look_up", look_up)
    reader = TopicReader("t", stores=Settings(), timeout_s=1)
    reader.topic_id = TOPIC
    await reader.check_topic()
    reader.topic_id = OTHER
    with pytest.raises(LogUnavailable, match="was replaced"):
        await reader.check_topic()


def test_a_log_that_was_cut_is_not_applied_again_unasked() -> None:
    check_log_is_whole({0: 0, 1: 0})
    with pytest.raises(RebuildRefused, match=r"offsets 1: 5: .*--force"):
        check_log_is_whole({0: 0, 1: 5})


def test_progress_is_that_of_the_slowest_slot() -> None:
    def shard(first: int, last: int, at: int) -> ShardPositions:
        ranges = ((first, last),)
        return ShardPositions("n", ranges, {"0": ViewPosition("t", at, ranges, "o")})

    both = [shard(0, 4, 7), shard(5, 9, 3)]
    assert applied(both, [0], set(range(10))) == {0: 3}
    assert applied(both, [0], {0, 1}) == {0: 7}
    assert applied(both, [0, 1], {0, 1}) == {0: 7, 1: 0}
    assert applied(both, [0], {0, 10}) == {0: 0}
    assert applied([], [0], {0}) == {0: 0}
