"""A client that sends a new origin with every tag, and what is asked about the flood afterwards."""

import asyncio
import json
import time
from collections.abc import Iterator, Sequence
from typing import Final

from setup.local.ports import HOST
from tests.faults.audit_reads import Answer, ask_all
from tests.webpanel.catalogue import ORIGINS
from tests.webpanel.connections import Exchange, Failure, Pool
from tests.webpanel.eventtime import MINUTE_MS, minute_time, tag_time
from tests.webpanel.http_wire import request_head

FLOOD_ORIGINS: Final = 8_000
FLOOD_RATE: Final = 100.0
NEW_ORIGIN: Final = "AFTER_THE_FLOOD"
NEW_TAGS: Final = 5
_AT_ONCE: Final = 16
_TIMEOUT_S: Final = 5.0
_CAPPED: Final = b"TAGS_ACTOR_DICTIONARY_MAX_NAMES"
"""Named by the refusal of a name without an id, and by no other one."""


def body(origin: str, number: int, ms: int) -> bytes:
    """A tag."""
    document = {
        "time": tag_time(ms),
        "cookie": f"flood-{number % 100}",
        "country": "PL",
        "device": "PC",
        "action": "VIEW",
        "origin": origin,
        "product_info": {
            "product_id": number,
            "brand_id": "Flood",
            "category_id": "Flood",
            "price": 1,
        },
    }
    return json.dumps(document).encode()


def flood_origin(number: int) -> str:
    """Unique."""
    return f"FLOOD_{number}"


def flood_tags(first_ms: int) -> Iterator[bytes]:
    """One of each origin, a millisecond apart, so within a minute that ``first_ms`` begins."""
    for number in range(FLOOD_ORIGINS):
        yield body(flood_origin(number), number, first_ms + number)


def new_tags(first_ms: int) -> Iterator[bytes]:
    """Some, of one origin that there was not before."""
    for number in range(NEW_TAGS):
        yield body(NEW_ORIGIN, number, first_ms + number)


async def send(port: int, bodies: Iterator[bytes], rate: float = FLOOD_RATE) -> int:
    """Send tags at up to ``rate`` per second; returns the number accepted."""
    accepted = 0
    room = asyncio.Semaphore(_AT_ONCE)

    def answered(_: Exchange, status: int, __: bytes) -> None:
        nonlocal accepted
        accepted += status == 204
        room.release()

    def failed(_: Exchange, __: Failure) -> None:
        room.release()

    pool = Pool(
        HOST, port, timeouts_s=(_TIMEOUT_S,), most=_AT_ONCE, on_answer=answered, on_failure=failed
    )
    head = b"POST /user_tags" + request_head(HOST, port)
    began_s = time.monotonic()
    async with pool.swept():
        for number, content in enumerate(bodies):
            await asyncio.sleep(max(0.0, began_s + number / rate - time.monotonic()))
            await room.acquire()
            payload = b"%b%d\r\n\r\n%b" % (head, len(content), content)
            now_s = time.monotonic()
            pool.send(Exchange(0, number, payload, now_s, now_s))
        for _ in range(_AT_ONCE):
            await room.acquire()
    return accepted


def question(origin: str, ms: int) -> str:
    """Path of the query for an origin's views in the minute of ``ms``."""
    minute = ms // MINUTE_MS
    span = f"{minute_time(minute)}_{minute_time(minute + 1)}"
    return f"/aggregates?time_range={span}&action=VIEW&origin={origin}&aggregates=COUNT"


def flood_problem(answers: Sequence[Answer]) -> str:
    """What is wrong with the answers for a name past the limit, and for one from before."""
    (status, text), known = answers
    if status != 503 or _CAPPED not in text:
        return f"a name without an id was not refused: {status} {text.decode()[:100]}"
    return count_problem(known, 0, 0)


def count_problem(answer: Answer, least: int, most: int) -> str:
    """What is wrong with an answer of one row, whose count must lie between these."""
    status, text = answer
    try:
        if status == 200 and least <= int(json.loads(text)["rows"][0][-1]) <= most:
            return ""
    except (ValueError, LookupError, TypeError):
        pass
    return f"not a count of {least} to {most}: {status} {text.decode()[:100]}"


def ask_after_flood(port: int, ms: int) -> str:
    """What is wrong once the flood of the minute of ``ms`` has been counted."""
    # The last name of the flood has no id. Of the stream's origins none has a tag in that minute,
    # and the most popular one had an id before.
    names = (flood_origin(FLOOD_ORIGINS - 1), ORIGINS[0])
    return flood_problem(asyncio.run(ask_all(HOST, port, [question(one, ms) for one in names])))


def ask_new_name(port: int, ms: int, accepted: int) -> str:
    """What is wrong once tags of `new_tags` have been counted, ``accepted`` of them for sure."""
    (answer,) = asyncio.run(ask_all(HOST, port, [question(NEW_ORIGIN, ms)]))
    return count_problem(answer, max(1, accepted), NEW_TAGS)
