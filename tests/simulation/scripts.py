"""The Lua scripts of ``serve_app.stores.profile_scripts``, reimplemented in Python.

Written from their contract, not from their text: errors in the Lua scripts are found by tests on a
real server, not here. Without TTLs: profiles of the simulation never expire.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

import hiredis

from serve_app.stores import profile_scripts
from tests.simulation.redis_data import Unit, Value

Argument = str | bytes | int
NON_LOCAL = "ERR Script attempted to access a non local key in a cluster node script: x"


class NonLocal(Exception):
    """The key is, or may be, on another node."""


class Transaction:
    """Reads and writes of one script on one node; ``unit``: its changes, kept even if it fails."""

    def __init__(self, values: Mapping[str, Value], local: Callable[[str, bool], bool]) -> None:
        """``local(key, exists)``: whether the script may access the key on this node."""
        self._values = values
        self._local = local
        self.unit: dict[str, Value | None] = {}

    def get(self, key: str) -> Any:
        value = self.unit[key] if key in self.unit else self._values.get(key)
        if not self._local(key, value is not None):
            raise NonLocal(key)
        return value

    def set(self, key: str, value: Value) -> None:
        self.get(key)
        self.unit[key] = value

    def delete(self, *keys: str) -> None:
        for key in keys:
            self.get(key)
        for key in keys:
            self.unit[key] = None


def text(argument: Argument) -> str:
    return argument.decode() if isinstance(argument, bytes) else str(argument)


def parse_mark(mark: str) -> tuple[str, dict[str, int]]:
    """The topic, and offsets by partition."""
    *pairs, topic = mark.split(",")
    return topic[1:], {p: int(offset) for p, offset in (one.split(":") for one in pairs)}


def covered(mark: str | None, place: str, topic: str | None) -> bool:
    """Whether the erasure ``mark`` covers the tag at ``place`` (partition:offset:arrival).

    ``topic`` has the tag; None: unknown, so that a mark of any topic counts.
    """
    if mark is None:
        return False
    partition, offset, _ = place.split(":")
    of, before = parse_mark(mark)
    return topic in (None, of) and int(offset) < before.get(partition, 0)


def erased_in(mark: str | None, topic: str) -> dict[str, int]:
    """What was erased in this topic before."""
    of, before = parse_mark(mark) if mark is not None else ("", {})
    return before if of == topic else {}


def apply_tag(on: Transaction, kept: int, topic: str | None, tag: Sequence[Argument]) -> None:
    cookie, action, time_ms, member, place = tag
    base = f"p:{{{text(cookie)}}}:"
    if covered(on.get(base + "erased"), text(place), topic):
        return
    key = base + text(action)
    tags = {**(on.get(key) or {}), bytes(member): int(time_ms)}  # type: ignore[arg-type]
    newest = sorted(tags, key=lambda one: (tags[one], one))[-kept:]
    on.set(key, {one: tags[one] for one in newest})


def quick_write(on: Transaction, key: str, arguments: Sequence[Argument]) -> int:
    kept = int(arguments[0])
    for index in range(3, len(arguments), 5):
        try:
            apply_tag(on, kept, None, arguments[index : index + 5])
        except NonLocal:
            continue
    return 0


def positions(on: Transaction, home: str, arguments: Sequence[Argument]) -> list[Any]:
    found: list[Any] = []
    for key in (home, *map(text, arguments)):
        try:
            fields = on.get(key) or {}
        except NonLocal:
            assert key != home
            found.append(None)
        else:
            found.append([part.encode() for pair in fields.items() for part in pair])
    return found


def gather(on: Transaction, home: str, arguments: Sequence[Argument]) -> int:
    second, main, arrivals, new_main, new_arrivals, *rest = map(text, arguments)
    copies = [tuple(rest[index : index + 3]) for index in range(0, len(rest), 3)]
    for key, *expected in copies:
        fields = on.get(key) or {}
        if [fields.get(main, ""), fields.get(arrivals, "")] != expected:
            return 0
    new = {main: new_main, arrivals: new_arrivals}
    for key, *_ in copies:
        _put(on, key, new if key in (home, second) else {main: "", arrivals: ""})
    return 1


def clear(on: Transaction, home: str, arguments: Sequence[Argument]) -> int:
    main, arrivals, *keys = map(text, arguments)
    cleared = 0
    for key in keys:
        try:
            there = on.get(key) or {}
        except NonLocal:
            continue
        cleared += len({main, arrivals} & there.keys())
        _put(on, key, {main: "", arrivals: ""})
    return cleared


def _put(on: Transaction, key: str, fields: Mapping[str, str]) -> None:
    """Set fields of a hash; empty values remove them, and a hash without fields is no key."""
    before = on.get(key) or {}
    after = {name: value for name, value in {**before, **fields}.items() if value}
    if after == before:
        return
    if after:
        on.set(key, after)
    else:
        on.delete(key)


def move(on: Transaction, home: str, arguments: Sequence[Argument]) -> list[Any]:
    second, field, old, new = map(text, arguments[:4])
    kept, tags = int(arguments[4]), arguments[7:]
    stored = (on.get(home) or {}).get(field, "")
    if stored != old:
        return [1, stored.encode()]
    elsewhere = []
    for index in range(0, len(tags), 5):
        try:
            apply_tag(on, kept, new.partition(":")[0], tags[index : index + 5])
        except NonLocal:
            elsewhere.append(index // 5)
    if elsewhere:
        return [2, *elsewhere]
    if old != new:
        for one in filter(None, (second, home)):
            on.set(one, {**(on.get(one) or {}), field: new})
    return [0]


def merge(on: Transaction, home: str, arguments: Sequence[Argument]) -> int:
    second, main, old, new, arrivals, theirs = map(text, arguments)
    positions = on.get(home) or {}
    if positions.get(main) != old or positions.get(arrivals) != theirs:
        return 0
    for one in filter(None, (second, home)):
        rest = {name: value for name, value in (on.get(one) or {}).items() if name != arrivals}
        on.set(one, {**rest, main: new})
    return 1


def erase(on: Transaction, home: str, arguments: Sequence[Argument]) -> int:
    field, cookie, mark, _, *homes = map(text, arguments)
    base = f"p:{{{cookie}}}:"
    of, asked = parse_mark(mark)
    if not (on.get(home) or {}).get(field, "").startswith(f"{of}:"):
        return -1
    known = erased_in(on.get(base + "erased"), of)
    if all(known.get(p, -1) >= offset for p, offset in asked.items()):
        return 0
    before = {p: max(offset, known.get(p, -1)) for p, offset in asked.items()}
    on.delete(base + "VIEW", base + "BUY")
    pairs = [f"{p}:{offset}" for p, offset in before.items()]
    on.set(base + "erased", ",".join([*pairs, f"@{of}"]))
    for one in homes:
        try:
            positions = dict(on.get(one) or {})
        except NonLocal:
            continue
        for name, position in positions.items():
            topic, offset, rest = position.split(":", 2)
            limit = before.get(name.rstrip("+"))
            if topic == of and limit is not None and int(offset) > limit:
                positions[name] = f"{topic}:{limit}:{rest}"
        if positions:
            on.set(one, positions)
    return 1


def accept_loss(on: Transaction, home: str, arguments: Sequence[Argument]) -> int:
    changed = 0
    for one in map(text, arguments):
        try:
            positions = dict(on.get(one) or {})
        except NonLocal:
            continue
        for name, position in positions.items():
            topic, offset, since, rest = position.split(":", 3)
            if since != "0":
                positions[name] = f"{topic}:{offset}:0:{rest}"
                changed += 1
        if positions:
            on.set(one, positions)
    return changed


def forget(on: Transaction, home: str, arguments: Sequence[Argument]) -> int:
    known = len(on.get(home) or {})
    for one in map(text, arguments):
        with suppress(NonLocal):
            on.delete(one)
    return known


BY_SHA1: Final[Mapping[str, Callable[[Transaction, str, Sequence[Argument]], Any]]] = {
    profile_scripts.QUICK_WRITE.sha1: quick_write,
    profile_scripts.POSITIONS.sha1: positions,
    profile_scripts.GATHER.sha1: gather,
    profile_scripts.CLEAR.sha1: clear,
    profile_scripts.MOVE.sha1: move,
    profile_scripts.MERGE.sha1: merge,
    profile_scripts.ERASE.sha1: erase,
    profile_scripts.ACCEPT_LOSS.sha1: accept_loss,
    profile_scripts.FORGET.sha1: forget,
}


def run_script(on: Transaction, sha1: str, key: str, arguments: Sequence[Argument]) -> Any:
    """The script's reply; a `hiredis.ReplyError` if it accessed a key of another node."""
    try:
        return BY_SHA1[sha1](on, key, arguments)
    except NonLocal:
        return hiredis.ReplyError(NON_LOCAL)


def changes(on: Transaction) -> Unit:
    """What it changed."""
    return on.unit
