"""Hash slots of a Redis Cluster: where a key lives, and which slots a shard has.

Source: the Redis Cluster specification, "Key distribution model" (CRC16 in its XMODEM form,
modulo 16,384; https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/).
"""

from binascii import crc_hqx
from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import count
from typing import Final

SLOTS: Final = 16_384
HOMES: Final = 2
"""Slots of a shard that each hold a copy of its positions: one may move away at any time."""
_NEAR: Final = 2 * HOMES

Ranges = tuple[tuple[int, int], ...]
"""(first, last) slot of each run, both included, ascending and apart."""


def hash_slot(tag: bytes) -> int:
    """The slot of a key whose hash tag is ``tag``, or of a whole key without one."""
    return crc_hqx(tag, 0) % SLOTS


@lru_cache(maxsize=1024)
def tag_of_slot(slot: int) -> str:
    """The smallest number, as text, that hashes to ``slot``: a tag that puts a key there.

    Searches for some 20 ms, once for each slot.
    """
    return next(text for text in map(str, count()) if hash_slot(text.encode()) == slot)


@lru_cache(maxsize=1)
def tags_of_slots() -> Sequence[str]:
    """`tag_of_slot` of every slot: all of them take ten times as long as one."""
    tags: dict[int, str] = {}
    for text in map(str, count()):
        tags.setdefault(hash_slot(text.encode()), text)
        if len(tags) == SLOTS:
            return [tags[slot] for slot in range(SLOTS)]
    raise AssertionError


def ranges_of(slots: Iterable[int]) -> Ranges:
    """``slots`` as runs."""
    runs: list[list[int]] = []
    for slot in sorted(set(slots)):
        if runs and slot == runs[-1][1] + 1:
            runs[-1][1] = slot
        else:
            runs.append([slot, slot])
    return tuple((first, last) for first, last in runs)


def slots_of(ranges: Ranges) -> set[int]:
    """Every slot of ``ranges``."""
    return {slot for first, last in ranges for slot in range(first, last + 1)}


def contains(ranges: Ranges, slot: int) -> bool:
    """Whether ``slot`` lies in one of ``ranges``."""
    return any(first <= slot <= last for first, last in ranges)


def format_ranges(ranges: Ranges) -> str:
    """``0-5460,7000``; empty for no slot."""
    return ",".join(f"{a}-{b}" if a != b else str(a) for a, b in ranges)


def parse_ranges(text: str) -> Ranges:
    """Inverse of `format_ranges`.

    Raises:
        ValueError: another shape, a slot that does not exist, or runs out of order.
    """
    ranges = []
    before = -2
    for part in filter(None, text.split(",")):
        first, _, last = part.partition("-")
        run = int(first), int(last or first)
        if not (before + 1 < run[0] <= run[1] < SLOTS):
            raise ValueError(f"{text!r} is not a list of slot ranges")
        ranges.append(run)
        before = run[1]
    return tuple(ranges)


def home_slots(ranges: Ranges) -> tuple[int, ...]:
    """Up to `HOMES` of the slots; the same ranges always give the same slots.

    Rendezvous hashing: each slot has a fixed weight and the heaviest are taken, so that a slot
    that comes or goes changes the choice only if it is itself among the heaviest.
    """
    return near_homes(ranges)[:HOMES]


@lru_cache(maxsize=256)
def near_homes(ranges: Ranges) -> tuple[int, ...]:
    """The homes and some slots after them, which were homes before if heavier ones have come."""
    heaviest = sorted(slots_of(ranges), key=_weight, reverse=True)
    return tuple(heaviest[:_NEAR])


def _weight(slot: int) -> int:
    """A permutation of the slots without pattern: Knuth's multiplicative hash."""
    return (slot * 2_654_435_761) & 0xFFFF_FFFF
