"""Tags for the sink tests and what the tables must hold afterwards.

The expectation shares no code with the actors: it parses the sent JSON with the standard library
and sums it up tag by tag.
"""

import json
import random
from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime

Counts = dict[tuple[object, ...], tuple[int, int]]
"""(count, sum of prices) by key with names."""


def bodies(count: int, *, seed: int = 0, start: int = 0, every: int = 50) -> list[bytes]:
    """``count`` bodies, one of ``every`` of them unreadable; 0.1 s of event time apart."""
    rng = random.Random(f"{seed} {start}")
    made = []
    for number in range(start, start + count):
        if number % every == every - 1:
            made.append(b'{"time": ')
            continue
        seconds, tenths = divmod(number, 10)
        hour, rest = divmod(seconds, 3600)
        time = f"2022-03-01T{hour:02d}:{rest // 60:02d}:{rest % 60:02d}.{tenths}00Z"
        made.append(
            json.dumps(
                {
                    "time": time,
                    "cookie": f"c{rng.randrange(50)}",
                    "country": "PL",
                    "device": "TV",
                    "action": rng.choice(["VIEW", "VIEW", "BUY"]),
                    "origin": rng.choice(["o", "o ", "O", "ö"]),
                    "product_info": {
                        "product_id": number,
                        "brand_id": f"b_{rng.randrange(12)}",
                        "category_id": f"k{rng.randrange(5)}",
                        "price": rng.randrange(-5, 2**31 - 1),
                    },
                }
            ).encode()
        )
    return made


def expected(sent: Iterable[bytes]) -> tuple[Counts, Counts]:
    """(full rows, rolled-up rows) for the tags among ``sent``."""
    full: dict[tuple[object, ...], list[int]] = defaultdict(lambda: [0, 0])
    rolled: dict[tuple[object, ...], list[int]] = defaultdict(lambda: [0, 0])
    for body in sent:
        try:
            tag = json.loads(body)
        except ValueError:
            continue
        moment = datetime.fromisoformat(tag["time"])
        minute = int(moment.timestamp()) // 60
        info = tag["product_info"]
        names = (tag["origin"], info["brand_id"], info["category_id"])
        rows = [full[minute, tag["action"], *names]]
        rows += [
            rolled[minute, tag["action"], dimension, name]
            for dimension, name in enumerate(("", *names))
        ]
        for row in rows:
            row[0] += 1
            row[1] += info["price"]
    return (
        {key: (count, total) for key, (count, total) in full.items()},
        {key: (count, total) for key, (count, total) in rolled.items()},
    )
