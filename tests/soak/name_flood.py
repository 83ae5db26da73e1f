"""A client that sends a new origin with every tag."""

import asyncio
import json
import time
from typing import Final

from setup.local.ports import HOST
from tests.webpanel.connections import Exchange, Failure, Pool
from tests.webpanel.eventtime import tag_time
from tests.webpanel.http_wire import request_head

_AT_ONCE: Final = 16
_TIMEOUT_S: Final = 5.0


def body(number: int, ms: int) -> bytes:
    """A tag with a unique origin."""
    document = {
        "time": tag_time(ms),
        "cookie": f"flood-{number % 100}",
        "country": "PL",
        "device": "PC",
        "action": "VIEW",
        "origin": f"FLOOD_{number}",
        "product_info": {
            "product_id": number,
            "brand_id": "Flood",
            "category_id": "Flood",
            "price": 1,
        },
    }
    return json.dumps(document).encode()


async def flood(port: int, first_ms: int, origins: int, rate: float) -> int:
    """Send ``origins`` tags at up to ``rate`` per second; returns the number accepted."""
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
        for number in range(origins):
            await asyncio.sleep(max(0.0, began_s + number / rate - time.monotonic()))
            await room.acquire()
            content = body(number, first_ms + number)
            payload = b"%b%d\r\n\r\n%b" % (head, len(content), content)
            now_s = time.monotonic()
            pool.send(Exchange(0, number, payload, now_s, now_s))
        for _ in range(_AT_ONCE):
            await room.acquire()
    return accepted
