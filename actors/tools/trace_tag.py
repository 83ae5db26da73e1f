"""The path of one tag, read from the stores: ``python -m actors.tools.trace_tag --request-id …``.

No extra data is kept for this: the log has every accepted tag with the id of its request, the
dead-letter topic has what could not be read, and each view (profiles in Redis, aggregates in MySQL)
has its position. The log has no index, so the records of the last minutes are scanned (about
100,000 a second).
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.table import Table
from sqlalchemy import text

from actors.errors import ActorError
from actors.log.entries import tag_of
from actors.log.ports import Record
from actors.log.ranges import records_between
from actors.log.topic_reader import TopicReader
from serve_app.core.member import encode_member
from serve_app.core.names import (
    DEAD_LETTERS_TOPIC,
    OFFSET_HEADER,
    OFFSETS_TABLE,
    PARTITION_HEADER,
    REASON_HEADER,
    REQUEST_ID_HEADER,
    USER_TAGS_TOPIC,
    cookie_slot,
    erased_key,
    profile_key,
    view_key,
)
from serve_app.core.position import agreed, own_copies, reached_by_slot
from serve_app.core.query import KEPT_PER_ACTION
from serve_app.core.settings import Settings
from serve_app.core.tag import UserTag
from serve_app.core.timestamps import format_tag_time
from serve_app.stores.database import create_engine
from serve_app.stores.redis_clients import connect_shards
from serve_app.stores.redis_shards import ShardUnavailable

TIMEOUT_S: Final = 10.0
Wanted = Callable[[Record], bool]


@dataclass(frozen=True)
class Found:
    """One record with its place."""

    partition: int
    record: Record

    def header(self, name: str) -> str:
        """Its text; empty if there is none."""
        found = next((value for key, value in self.record.headers if key == name), None)
        return (found or b"").decode(errors="replace")


@dataclass(frozen=True)
class Step:
    """What one place knows of the tag."""

    place: str
    outcome: str


@dataclass(frozen=True)
class Path:
    """Of one record of ``user_tags``: a request that was sent twice has two."""

    request_id: str
    steps: Sequence[Step]


def by_request_id(request_id: str) -> Wanted:
    """Records that carry this id."""
    header = (REQUEST_ID_HEADER, request_id.encode())
    return lambda record: header in record.headers


def by_tag(cookie: str, tag_time: str) -> Wanted:
    """Records of this cookie and event time, as the tag writes it."""
    marks = cookie.encode(), tag_time.encode()

    def wanted(record: Record) -> bool:
        # The quick check first: most records are of other cookies.
        if record.value is None or not all(mark in record.value for mark in marks):
            return False
        tag = tag_of(record)
        return tag is not None and (tag.cookie, tag.time) == (cookie, tag_time)

    return wanted


async def trace(settings: Settings, wanted: Wanted, since_ms: int) -> list[Path]:
    """The path of each record of ``user_tags`` that arrived since and is wanted.

    Raises:
        ActorError: Kafka does not answer.
    """
    async with _reader(settings, USER_TAGS_TOPIC) as reader:
        found = await _search(reader, wanted, since_ms)
    return [Path(one.header(REQUEST_ID_HEADER), await _steps(settings, one)) for one in found]


async def _steps(settings: Settings, found: Found) -> list[Step]:
    record = found.record
    arrived = format_tag_time(record.timestamp_ms, fraction=True)
    place = f"partition {found.partition}, offset {record.offset}"
    steps = [Step(f"log {USER_TAGS_TOPIC}", f"{place}, arrived {arrived}")]
    tag = tag_of(record)
    if tag is None:
        steps.append(Step("dead letters", await _dead_letter(settings, found)))
    else:
        steps.append(Step("tag", f"{tag.action} of {tag.cookie} at {tag.time}"))
        steps += await _profile(settings, found, tag)
    steps.append(Step("aggregates in MySQL", await _counted(settings, found)))
    return steps


async def _profile(settings: Settings, found: Found, tag: UserTag) -> list[Step]:
    """Whether the position of the tag's shard covers it, and whether its profile holds it."""
    names = "position in Redis", "profile in Redis"
    shards = connect_shards(settings)
    shards.start()
    key, member = profile_key(tag.cookie, tag.action), encode_member(tag, tag.time_ms)
    try:
        async with asyncio.timeout(TIMEOUT_S):
            await shards.wait_ready()
            shard = shards.shard_of(key)
            # The position first, as a reader asks: the profile is then at least as new.
            _, (*homes, score, size, mark) = await shards.on_any(
                shard,
                [
                    *(("HGETALL", view_key(home)) for home in shard.homes),
                    ("ZSCORE", key, member),
                    ("ZCARD", key),
                    ("GET", erased_key(tag.cookie)),
                ],
            )
    except (ShardUnavailable, TimeoutError) as error:
        return [Step(name, f"unknown: {error or 'no answer'}") for name in names]
    finally:
        await shards.stop()
    slot, offset = cookie_slot(tag.cookie), found.record.offset
    positions = agreed(own_copies(homes, shard.owners))
    reached = reached_by_slot(positions, slot, shard.name)
    next_offset = reached.offsets.get(found.partition)
    applied = next_offset is not None and next_offset > offset
    if next_offset is None:
        position = f"shard {shard.name} has no position of the partition"
    elif applied:
        position = f"applied: shard {shard.name} is at {next_offset}"
    else:
        position = f"not applied yet: shard {shard.name} is at {next_offset}"
        position += f", {offset - next_offset + 1} to go"
    if reached.lost:
        position += f"; {reached.lost}"
    if score is not None:
        profile = "there" if applied else "there, by the quick write"
    elif not applied:
        profile = "not there yet"
    elif size >= KEPT_PER_ACTION:
        profile = f"trimmed: there are {size} newer tags, the most that are kept"
    elif mark is not None:
        profile = "not there: the cookie was erased"
    else:
        profile = f"not there, among {size}: expired, or lost"
    return [Step(names[0], position), Step(names[1], profile)]


async def _dead_letter(settings: Settings, found: Found) -> str:
    marks = {
        (PARTITION_HEADER, str(found.partition).encode()),
        (OFFSET_HEADER, str(found.record.offset).encode()),
    }
    async with _reader(settings, DEAD_LETTERS_TOPIC) as reader:
        letters = await _search(
            reader, lambda record: marks <= set(record.headers), found.record.timestamp_ms
        )
    return letters[0].header(REASON_HEADER) if letters else "not there (yet)"


async def _counted(settings: Settings, found: Found) -> str:
    engine = create_engine(settings)
    # Two numbers from our own program: nothing to quote.
    statement = f"SELECT next_offset FROM {OFFSETS_TABLE} WHERE kafka_partition = {found.partition}"
    try:
        async with asyncio.timeout(TIMEOUT_S), engine.connect() as connection:
            next_offset = (await connection.execute(text(statement))).scalar_one_or_none()
    except Exception as error:  # whatever the driver raises: the other steps are useful without it
        return f"unknown: {type(error).__name__}"
    finally:
        await engine.dispose()
    offset = found.record.offset
    if next_offset is None:
        return "nothing of this partition is counted yet"
    if next_offset > offset:
        return f"counted: a flush has moved the partition's next offset to {next_offset}"
    return f"not counted yet: the next offset is {next_offset}, {offset - next_offset + 1} to go"


@asynccontextmanager
async def _reader(settings: Settings, topic: str) -> AsyncIterator[TopicReader]:
    reader = TopicReader(topic, stores=settings, timeout_s=TIMEOUT_S)
    try:
        await reader.open()
        yield reader
    finally:
        await reader.close()


async def _search(reader: TopicReader, wanted: Wanted, since_ms: int) -> list[Found]:
    """Every record that arrived since and is wanted, up to what is the log's end now."""
    begins, ends = await reader.begins(), await reader.ends()
    starts = {p: max(at, begins[p]) for p, at in (await reader.offsets_at(since_ms)).items()}
    found: list[Found] = []
    async for portion in records_between(reader, starts, ends):
        found += [Found(partition, record) for partition, record in portion if wanted(record)]
    return found


def main(
    request_id: Annotated[str, typer.Option(help="X-Request-ID of the answer to the tag.")] = "",
    cookie: Annotated[str, typer.Option(help="With --time, in place of --request-id.")] = "",
    time_: Annotated[str, typer.Option("--time", help="The tag's own, as it was sent.")] = "",
    since_s: Annotated[float, typer.Option(help="How far back to look, in arrival time.")] = 900,
) -> None:
    """Show where a tag is: log, profile, aggregates. Exit status 1 if it is not found."""
    if bool(request_id) == bool(cookie and time_):
        raise typer.BadParameter("give --request-id, or --cookie and --time")
    wanted = by_request_id(request_id) if request_id else by_tag(cookie, time_)
    since_ms = int((time.time() - since_s) * 1000)
    try:
        paths = asyncio.run(trace(Settings(), wanted, since_ms))
    except ActorError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from error
    for path in paths:
        table = Table("place", "what it knows", title=f"request {path.request_id or '-'}")
        for step in path.steps:
            table.add_row(step.place, step.outcome)
        Console().print(table)
    if not paths:
        typer.echo(f"no such tag among those that arrived in the last {since_s:g} s", err=True)
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
