"""Our Kafka and Redis lanes compared with the libraries that could replace them.

`python -m tests.bench.clients [--seconds 5] [--rounds 3] [--only kafka|redis]` starts Kafka and a
Redis Cluster of its own and makes the same calls through each client, at a steady rate, in turns:

* Kafka: appends of 1 and of 5 records with the product's headers, idempotent, ``acks=all``:
  `TagLog` beside confluent-kafka's `Producer` with delivery callbacks. Its `AIOProducer` cannot
  send headers.
* Redis: the quick write of one tag (EVALSHA) and the read of one profile (HGETALL and two ZRANGE
  as one pipeline): `RedisShards` beside coredis, valkey-glide and redis-py.

Measured is the processor time of the process, including the clients' threads, minus that of a loop
of timers at the same rate. A client connects anew for each turn, so that none pays for the
background work of another. Exit status 1 if a lane of ours takes more
than its bound of the best alternative's processor time.
"""

import asyncio
import statistics
import sys
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Annotated, Any, Final, Literal

import coredis
import glide
import msgspec
import typer
import uvloop
from confluent_kafka import Producer
from coredis.tokens import PureToken
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.cluster import RedisCluster as RedisPyCluster

from serve_app.core.names import (
    FORMAT_HEADER,
    FORMAT_JSON_V1,
    REQUEST_ID_HEADER,
    USER_TAGS_TOPIC,
    profile_key,
    view_key,
)
from serve_app.core.query import KEPT_PER_ACTION
from serve_app.core.settings import Settings
from serve_app.core.tag import ACTIONS, decode_timed_tag
from serve_app.stores import profile_scripts
from serve_app.stores.redis_clients import connect_shards
from serve_app.stores.redis_shards import RedisShards, parse_nodes
from serve_app.stores.tag_log import TagLog
from setup.command_line import run_main
from tests.bench._platform import bench_platform
from tests.bulk.hours import PARTITIONS, hour_bodies
from tests.results.recording import Recording

Call = Callable[[int], Awaitable[object]]
"""Call number n of a client; returns when it is answered."""
Connect = Callable[[], AbstractAsyncContextManager[Call]]

KAFKA_RATES: Final = (70, 330)
"""Appends a second of one of three replicas: at 1,000 tags/s about 70 batches of 5 with 10 ms of
linger, and 330 if nothing waited."""
KAFKA_RECORDS: Final = (1, 5)
REDIS_RATE: Final = 330
GOAL_RATIO: Final = {"kafka": 3.0, "redis": 1.0}
"""Share of the best alternative's processor time. Kafka's lane may cost more: above this, decide
again whether it is worth what the other client lacks (docs/notes/2026-11-28-kafka-client.md)."""

_WARM_UP_CALLS: Final = 100
_COOKIES: Final = 300
_TAGS: Final = 6_000
OURS: Final = "ours"


@dataclass(frozen=True, slots=True)
class Turn:
    """A measurement of one client."""

    cpu_us: float
    """Processor time per call, including the pacing."""
    latencies_ms: list[float]


async def turn(connect: Connect, rate: int, seconds: float) -> Turn:
    """Make calls at a steady ``rate``, after some to warm up."""
    async with connect() as call:
        for number in range(_WARM_UP_CALLS):
            await call(number)
        latencies_ms: list[float] = []

        async def timed(number: int) -> None:
            started_s = time.perf_counter()
            await call(number)
            latencies_ms.append((time.perf_counter() - started_s) * 1000)

        loop = asyncio.get_running_loop()
        calls = int(rate * seconds)
        cpu_s, started_s = time.process_time(), loop.time()
        tasks = []
        for number in range(calls):
            await asyncio.sleep(started_s + number / rate - loop.time())
            tasks.append(loop.create_task(timed(number)))
        await asyncio.gather(*tasks)
        return Turn((time.process_time() - cpu_s) / calls * 1e6, latencies_ms)


@asynccontextmanager
async def nothing() -> AsyncIterator[Call]:
    """Does nothing: measures the pacing."""

    async def call(number: int) -> None:
        await asyncio.sleep(0)

    yield call


# --- Kafka -----------------------------------------------------------------------------------


def kafka_clients(stores: Settings, records: int) -> dict[str, Connect]:
    """Clients that append ``records`` records with both headers per call."""
    bodies = list(islice(hour_bodies(0, 0, _TAGS), _TAGS))
    ids = [f"{number:08x}-0000-4000-8000-000000000000".encode() for number in range(_TAGS)]

    def batch(number: int) -> tuple[list[bytes], list[bytes]]:
        first = number * records % (_TAGS - records)
        return bodies[first : first + records], ids[first : first + records]

    @asynccontextmanager
    async def ours() -> AsyncIterator[Call]:
        log = TagLog(stores, USER_TAGS_TOPIC)
        log.start()
        await log.wait_ready()

        async def call(number: int) -> object:
            return await log.append(*batch(number))

        try:
            yield call
        finally:
            await log.stop()

    @asynccontextmanager
    async def confluent() -> AsyncIterator[Call]:
        producer = Producer(
            {
                "bootstrap.servers": stores.kafka_bootstrap,
                "acks": "all",
                "enable.idempotence": True,
                # Linger: one request for several records, which arrive within microseconds.
                "linger.ms": 0 if records == 1 else 1,
            }
        )
        loop = asyncio.get_running_loop()
        polling = True

        def poll() -> None:
            while polling:
                producer.poll(0.1)

        def answer(future: "asyncio.Future[list[int]]", offsets: list[int], error: object) -> None:
            if not future.done():
                if error is None:
                    future.set_result(offsets)
                else:
                    future.set_exception(RuntimeError(str(error)))

        async def call(number: int) -> object:
            future: asyncio.Future[list[int]] = loop.create_future()
            offsets: list[int] = []

            def delivered(error: Any, message: Any) -> None:
                if error is None:
                    offsets.append(message.offset())
                # Wake the loop once per append, not once per record.
                if error is not None or len(offsets) == records:
                    loop.call_soon_threadsafe(answer, future, offsets, error)

            for value, id_ in zip(*batch(number), strict=True):
                producer.produce(
                    USER_TAGS_TOPIC,
                    value,
                    partition=number % PARTITIONS,
                    headers=[(FORMAT_HEADER, FORMAT_JSON_V1), (REQUEST_ID_HEADER, id_)],
                    on_delivery=delivered,
                )
            return await future

        thread = threading.Thread(target=poll)
        thread.start()
        try:
            yield call
        finally:
            polling = False
            await asyncio.to_thread(thread.join)
            await asyncio.to_thread(producer.flush, 5)

    return {OURS: ours, "confluent-kafka": confluent}


# --- Redis -----------------------------------------------------------------------------------

Argument = str | bytes | int


@dataclass(frozen=True, slots=True)
class Commands:
    """Arguments shared by all clients."""

    writes: Sequence[Sequence[Argument]]
    """Arguments of EVALSHA, from the key on."""
    reads: Sequence[tuple[str, Sequence[str]]]
    """(the position's key, the two keys of a profile)."""


_RANGE: Final = ("(9999999999999", 0, "BYSCORE", "REV", "LIMIT", 0, KEPT_PER_ACTION)
_SHA1: Final = profile_scripts.QUICK_WRITE.sha1


async def redis_commands(stores: Settings) -> Commands:
    """Prepared writes of the Web Panel's tags to few cookies, and reads of these."""
    shards = connect_shards(stores, timeout_s=5.0)
    shards.start()
    await shards.wait_ready()
    writes: list[Sequence[Argument]] = []
    try:
        for number, body in enumerate(hour_bodies(0, 0, _TAGS)):
            tag, time_ms = decode_timed_tag(body)
            tag = msgspec.structs.replace(tag, cookie=f"cookie-{number % _COOKIES}")
            arguments = profile_scripts.tag_arguments(tag, time_ms, 0, number, time_ms)
            key = profile_key(tag.cookie, tag.action)
            writes.append((key, *profile_scripts.rules(0.0), *arguments))
            await write_by_us(shards, writes[-1])
        reads = []
        for number in range(_COOKIES):
            keys = [profile_key(f"cookie-{number}", action) for action in ACTIONS]
            reads.append((view_key(shards.shard_of(keys[0]).homes[0]), keys))
    finally:
        await shards.stop()
    return Commands(writes, reads)


async def write_by_us(shards: RedisShards, write: Sequence[Argument]) -> object:
    """One quick write."""
    key, *arguments = write
    assert isinstance(key, str)
    command = profile_scripts.run(profile_scripts.QUICK_WRITE, key, arguments)
    return await shards.on_master(shards.shard_of(key), [command])


def redis_clients(stores: Settings, commands: Commands) -> dict[str, tuple[Connect, Connect]]:
    """(quick write, profile read) of each client."""
    nodes = parse_nodes(stores.redis_nodes)

    def connects(
        connect: Callable[[], AbstractAsyncContextManager[Any]],
        write: Callable[[Any, Sequence[Argument]], Awaitable[object]],
        read: Callable[[Any, str, Sequence[str]], Awaitable[object]],
    ) -> tuple[Connect, Connect]:
        @asynccontextmanager
        async def writer() -> AsyncIterator[Call]:
            async with connect() as client:
                yield lambda number: write(client, commands.writes[number % _TAGS])

        @asynccontextmanager
        async def reader() -> AsyncIterator[Call]:
            async with connect() as client:
                yield lambda number: read(client, *commands.reads[number % _COOKIES])

        return writer, reader

    @asynccontextmanager
    async def ours() -> AsyncIterator[RedisShards]:
        # A long time-out: a busy machine must not count as a dead node.
        shards = connect_shards(stores, timeout_s=5.0)
        shards.start()
        await shards.wait_ready()
        try:
            yield shards
        finally:
            await shards.stop()

    async def read_by_us(shards: RedisShards, position: str, keys: Sequence[str]) -> object:
        ranges = [("ZRANGE", key, *_RANGE) for key in keys]
        return await shards.on_any(shards.shard_of(keys[0]), [("HGETALL", position), *ranges])

    @asynccontextmanager
    async def by_coredis() -> AsyncIterator[Any]:
        host, port = nodes[0]
        async with coredis.RedisCluster(host, port) as client:
            yield client

    async def write_by_coredis(client: Any, write: Sequence[Argument]) -> object:
        return await client.evalsha(_SHA1, keys=write[:1], args=write[1:])

    async def read_by_coredis(client: Any, position: str, keys: Sequence[str]) -> object:
        async with client.pipeline(transaction=False) as pipeline:
            pipeline.hgetall(position)
            for key in keys:
                pipeline.zrange(
                    key,
                    _RANGE[0],
                    _RANGE[1],
                    sortby=PureToken.BYSCORE,
                    rev=True,
                    offset=0,
                    count=KEPT_PER_ACTION,
                )
        return pipeline.results

    @asynccontextmanager
    async def by_glide() -> AsyncIterator[Any]:
        addresses = [glide.NodeAddress(host, port) for host, port in nodes]
        client = await glide.GlideClusterClient.create(
            glide.GlideClusterClientConfiguration(addresses, request_timeout=5_000)
        )
        try:
            yield client
        finally:
            await client.close()

    def as_text(arguments: Sequence[Argument]) -> list[Any]:
        return [str(one) if isinstance(one, int) else one for one in arguments]

    async def write_by_glide(client: Any, write: Sequence[Argument]) -> object:
        return await client.custom_command(["EVALSHA", _SHA1, "1", *as_text(write)])

    async def read_by_glide(client: Any, position: str, keys: Sequence[str]) -> object:
        batch = glide.ClusterBatch(is_atomic=False)
        batch.hgetall(position)
        for key in keys:
            batch.custom_command(["ZRANGE", key, *as_text(_RANGE)])
        return await client.exec(batch, raise_on_error=True)

    @asynccontextmanager
    async def by_redis_py() -> AsyncIterator[Any]:
        async with RedisPyCluster(startup_nodes=[ClusterNode(*node) for node in nodes]) as client:
            yield client

    async def write_by_redis_py(client: Any, write: Sequence[Argument]) -> object:
        return await client.evalsha(_SHA1, 1, *write)

    async def read_by_redis_py(client: Any, position: str, keys: Sequence[str]) -> object:
        pipeline = client.pipeline(transaction=False)
        pipeline.hgetall(position)
        for key in keys:
            pipeline.execute_command("ZRANGE", key, *_RANGE)
        return await pipeline.execute()

    return {
        OURS: connects(ours, write_by_us, read_by_us),
        "coredis": connects(by_coredis, write_by_coredis, read_by_coredis),
        "valkey-glide": connects(by_glide, write_by_glide, read_by_glide),
        "redis-py": connects(by_redis_py, write_by_redis_py, read_by_redis_py),
    }


# --- The comparison --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Options:
    """Duration and number of rounds."""

    seconds: float
    rounds: int


async def compare(
    recording: Recording,
    store: str,
    what: str,
    rate: int,
    clients: Mapping[str, Connect],
    options: Options,
) -> tuple[list[list[str]], float]:
    """Rows of a table, one per client, and our share of the best other's processor time.

    Also records the figures and the bound.
    """
    everyone = {"pacing": nothing, **clients}
    turns: dict[str, list[Turn]] = {name: [] for name in everyone}
    for number in range(options.rounds):
        names = list(everyone)
        # Rotate the order.
        for name in names[number % len(names) :] + names[: number % len(names)]:
            turns[name].append(await turn(everyone[name], rate, options.seconds))
    pacing_us = statistics.median(one.cpu_us for one in turns.pop("pacing"))
    cpu_us = {
        name: statistics.median(one.cpu_us for one in some) - pacing_us
        for name, some in turns.items()
    }
    rows = []
    for name, some in turns.items():
        latencies_ms = sorted(one for each in some for one in each.latencies_ms)
        p50, p99 = (latencies_ms[int(len(latencies_ms) * share)] for share in (0.5, 0.99))
        rows.append([what, str(rate), name, f"{cpu_us[name]:.0f}", f"{p50:.1f}", f"{p99:.1f}"])
        key = f"{store}_{what}_{rate}_{name}".replace(" ", "_").replace("-", "_")
        recording.figure(f"{key}_cpu_us", round(cpu_us[name]))
        print(" ".join(rows[-1]), file=sys.stderr, flush=True)
    best_us = min(value for name, value in cpu_us.items() if name != OURS)
    ratio = round(cpu_us[OURS] / best_us, 2)
    figure = f"{store}_{what}_{rate}_ratio".replace(" ", "_")
    recording.figure(figure, ratio, at_most=GOAL_RATIO[store])
    return rows, ratio


_COLUMNS: Final = ("call", "a second", "client", "processor time, µs", "p50, ms", "p99, ms")


async def measure_kafka(stores: Settings, recording: Recording, options: Options) -> str:
    """Table "kafka" and its headline."""
    table, ratios = [], []
    for records in KAFKA_RECORDS:
        clients = kafka_clients(stores, records)
        for rate in KAFKA_RATES:
            what = f"append of {records}"
            rows, ratio = await compare(recording, "kafka", what, rate, clients, options)
            table += rows
            ratios.append(ratio)
    recording.table("kafka", _COLUMNS, table)
    return f"appends take {min(ratios):g} to {max(ratios):g} of confluent-kafka's processor time"


async def measure_redis(stores: Settings, recording: Recording, options: Options) -> str:
    """Table "redis" and its headline."""
    clients = redis_clients(stores, await redis_commands(stores))
    table, ratios = [], []
    for index, what in enumerate(("quick write", "profile read")):
        sides = {name: connects[index] for name, connects in clients.items()}
        rows, ratio = await compare(recording, "redis", what, REDIS_RATE, sides, options)
        table += rows
        ratios.append(ratio)
    recording.table("redis", _COLUMNS, table)
    write, read = ratios
    return f"a quick write {write:g} and a profile read {read:g} of the next best client's"


def main(
    seconds: Annotated[float, typer.Option(help="Of each turn.")] = 5.0,
    rounds: int = 3,
    only: Literal["kafka", "redis"] | None = None,
) -> int:
    """Start, measure, stop."""
    options = Options(seconds, rounds)
    recording = Recording("clients")
    measures = {"kafka": measure_kafka, "redis": measure_redis}
    kinds = (only,) if only else tuple(measures)
    headlines = []
    with bench_platform(kinds) as platform:
        for kind in kinds:
            # The event loop of Serve's replicas.
            headlines.append(uvloop.run(measures[kind](platform.settings(), recording, options)))
    return 0 if recording.finish("; ".join(headlines)) else 1


if __name__ == "__main__":
    run_main(main, __doc__)
