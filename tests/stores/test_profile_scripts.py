"""The Lua scripts on a real node, against a model in Python."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
import redis
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from serve_app.core.erasure import decode_mark
from serve_app.core.names import cookie_slot, escape_cookie, profile_key, view_key
from serve_app.core.position import ViewPosition, decode_position
from serve_app.core.slots import home_slots, near_homes, ranges_of, slots_of
from serve_app.stores.profile_scripts import (
    ACCEPT_LOSS,
    CLEAR,
    DAY_MS,
    ERASE,
    FORGET,
    GATHER,
    MERGE,
    MOVE,
    POSITIONS,
    QUICK_WRITE,
    Script,
    rules,
)
from setup.local.platform import Platform
from tests.tags import new_cookie

KEPT = 4
"""Tags kept per action here, for short histories."""
TOPIC, OTHER = "ab" * 16, "cd" * 16
OWNER = "o" * 40 + "/" + "1" * 40
FIELDS = ("0", "0+", "1", "1+")
ACTIONS = ("VIEW", "BUY")


@dataclass(frozen=True)
class Master:
    """A master with an independent client, and its slots."""

    admin: redis.Redis
    slots: tuple[tuple[int, int], ...]

    @property
    def homes(self) -> tuple[str, str]:
        first, second = map(view_key, home_slots(self.slots))
        return first, second

    def cookies(self) -> Iterator[str]:
        """New cookies of this node."""
        mine = slots_of(self.slots)
        return (c for c in iter(new_cookie, None) if cookie_slot(c) in mine)

    def run(self, script: Script, key: str, *arguments: str | int) -> Any:
        return self.admin.eval(script.text, 1, key, *arguments)

    def erase(self, cookie: str, mark: str, keep_ms: int = 0) -> Any:
        """By the feed of a partition that the mark does not name."""
        name, position = "9", ViewPosition(mark[-32:], 1, (), OWNER)
        self.admin.hset(self.homes[0], name, position.encode())
        try:
            return self.run(ERASE, self.homes[0], name, cookie, mark, keep_ms, *self.homes)
        finally:
            self.admin.hdel(self.homes[0], name)


def nodes_of(platform: Platform) -> list[Master]:
    """All current masters."""
    slots: dict[int, set[int]] = {}
    admin = redis.Redis("127.0.0.1", platform.ports["redis"])
    for first, last, (_, port, *_), *_ in admin.execute_command("CLUSTER SLOTS"):
        slots.setdefault(port, set()).update(range(first, last + 1))
    return [
        Master(redis.Redis("127.0.0.1", port), ranges_of(own))
        for port, own in sorted(slots.items())
    ]


@pytest.fixture
def nodes(redis_stores: Platform) -> Iterator[list[Master]]:
    found = nodes_of(redis_stores)
    yield found
    for node in found:
        for home in node.homes:
            node.admin.delete(home)


@pytest.fixture
def node(nodes: list[Master]) -> Master:
    return nodes[0]


@dataclass(frozen=True)
class Write:
    """A tag as passed to the scripts; the member contains its time, as for real tags."""

    cookie: str
    action: str
    time_ms: int
    number: int
    partition: int
    offset: int
    arrived_ms: int = 50

    @property
    def member(self) -> bytes:
        return f"{self.time_ms}.{self.number}".encode()

    @property
    def arguments(self) -> tuple[str | int, ...]:
        place = f"{self.partition}:{self.offset}:{self.arrived_ms}"
        return (self.cookie, self.action, self.time_ms, self.member.decode(), place)


def flat(writes: Sequence[Write], idle_ms: int = 0, renew_ms: int = 0) -> tuple[str | int, ...]:
    """Rules and tags, as `QUICK_WRITE` and `MOVE` take them."""
    return (KEPT, idle_ms, renew_ms, *(part for one in writes for part in one.arguments))


@dataclass
class Model:
    """Expected content: sets of tags, erasures, positions."""

    tags: dict[tuple[str, str], set[tuple[int, bytes]]] = field(default_factory=dict)
    """Everything written since the last erasure, by (cookie, action)."""
    erased: dict[str, tuple[str, dict[int, int]]] = field(default_factory=dict)
    """Topic, and offset by partition before which tags are erased, by cookie."""
    positions: dict[str, ViewPosition] = field(default_factory=dict)

    def write(self, one: Write, topic: str = "") -> None:
        """``topic``: that has the tag, if that is known."""
        of, before = self.erased.get(one.cookie, ("", {}))
        if topic not in ("", of) or one.offset >= before.get(one.partition, 0):
            kept = self.tags.setdefault((one.cookie, one.action), set())
            kept.add((one.time_ms, one.member))

    def top(self, cookie: str, action: str) -> list[tuple[bytes, float]]:
        newest = sorted(self.tags.get((cookie, action), ()))[-KEPT:]
        return [(member, float(time_ms)) for time_ms, member in newest]

    def erase(self, cookie: str, before: dict[int, int], topic: str) -> bool:
        of, known = self.erased.get(cookie, ("", {}))
        known = known if of == topic else {}
        if all(known.get(partition, -1) >= offset for partition, offset in before.items()):
            return False
        merged = {p: max(offset, known.get(p, 0)) for p, offset in before.items()}
        self.erased[cookie] = topic, merged
        for action in ACTIONS:
            self.tags.pop((cookie, action), None)
        for name, one in self.positions.items():
            limit = merged.get(int(name.rstrip("+")))
            if one.topic_id == topic and limit is not None and one.next_offset > limit:
                self.positions[name] = moved(one, next_offset=limit)
        return True


def moved(one: ViewPosition, **changes: Any) -> ViewPosition:
    values = {name: getattr(one, name) for name in one.__slots__} | changes
    return ViewPosition(**values)


class Scripts(RuleBasedStateMachine):
    """After any sequence of scripts a node equals the model."""

    node: Master

    def __init__(self) -> None:
        super().__init__()
        self.model = Model()
        self.cookies = list(itertools.islice(self.node.cookies(), 2))
        self.first, self.second = self.node.homes
        for home in self.node.homes:
            self.node.admin.delete(home)

    numbers = st.integers(0, 6)
    some_fields = st.sampled_from(FIELDS)
    topics = st.sampled_from([TOPIC, TOPIC, OTHER])
    some_writes = st.lists(
        st.tuples(
            st.integers(0, 1),
            st.sampled_from(ACTIONS),
            numbers,
            st.integers(0, 2),
            st.integers(0, 1),
            st.integers(0, 12),
        ),
        max_size=8,
    )

    def _writes(self, drawn: list[tuple[int, str, int, int, int, int]]) -> list[Write]:
        return [Write(self.cookies[at], *rest) for at, *rest in drawn]  # type: ignore[arg-type]

    def _text(self, name: str) -> str:
        there = self.model.positions.get(name)
        return there.encode() if there else ""

    @rule(drawn=some_writes)
    def quick_write(self, drawn: list[tuple[int, str, int, int, int, int]]) -> None:
        writes = self._writes(drawn)
        assert self.node.run(QUICK_WRITE, self.first, *flat(writes)) == 0
        for one in writes:
            self.model.write(one)

    @rule(
        drawn=some_writes,
        name=some_fields,
        offset=st.integers(0, 12),
        since=st.sampled_from([0, 0, 3]),
        stale=st.booleans(),
        topic=topics,
    )
    def move(
        self,
        drawn: list[tuple[int, str, int, int, int, int]],
        name: str,
        offset: int,
        since: int,
        stale: bool,
        topic: str,
    ) -> None:
        writes = self._writes(drawn)
        there = self.model.positions.get(name)
        old = ViewPosition(TOPIC, 99, (), OWNER).encode() if stale else self._text(name)
        new = ViewPosition(topic, offset, ((0, 5),), OWNER, since)
        answer = self.node.run(
            MOVE, self.first, self.second, name, old, new.encode(), *flat(writes)
        )
        if stale:
            assert answer == [1, there.encode().encode() if there else b""]
            return
        assert answer == [0]
        for one in writes:
            self.model.write(one, topic)
        self.model.positions[name] = new

    @rule(
        cookie=st.integers(0, 1),
        before=st.tuples(st.integers(0, 12), st.integers(0, 12)),
        topic=topics,
        name=some_fields,
    )
    def erase(self, cookie: int, before: tuple[int, int], topic: str, name: str) -> None:
        if name not in self.model.positions:
            # Most erasures are done.
            name = next(iter(self.model.positions), name)
        mark = f"0:{before[0]},1:{before[1]},@{topic}"
        arguments = (name, self.cookies[cookie], mark, 0, *self.node.homes)
        news = self.node.run(ERASE, self.first, *arguments)
        there = self.model.positions.get(name)
        if there is None or there.topic_id != topic:
            assert news == -1
            return
        assert bool(news) == self.model.erase(self.cookies[cookie], dict(enumerate(before)), topic)

    @rule(partition=st.sampled_from("01"), offset=st.integers(0, 12), stale=st.sampled_from("--ma"))
    def merge(self, partition: str, offset: int, stale: str) -> None:
        main, arrivals = partition, f"{partition}+"
        new = ViewPosition(TOPIC, offset, ((0, 9),), OWNER)
        given_main = "other" if stale == "m" else self._text(main)
        given_arrivals = "other" if stale == "a" else self._text(arrivals)
        answer = self.node.run(
            MERGE,
            self.first,
            self.second,
            main,
            given_main,
            new.encode(),
            arrivals,
            given_arrivals,
        )
        both = main in self.model.positions and arrivals in self.model.positions
        assert answer == int(both and stale == "-")
        if answer:
            self.model.positions[main] = new
            del self.model.positions[arrivals]

    @rule(
        partition=st.sampled_from("01"),
        offset=st.none() | st.integers(0, 12),
        lost=st.sampled_from([None, "first", "second"]),
        stale=st.booleans(),
    )
    def gather(self, partition: str, offset: int | None, lost: str | None, stale: bool) -> None:
        """After a home lost what it held, and with a copy in a slot that is none."""
        names = partition, f"{partition}+"
        other = view_key(near_homes(self.node.slots)[-1])
        if lost:
            self.node.admin.hdel(getattr(self, lost), *names)
        self.node.admin.hset(other, names[1], "something")
        if offset is not None:
            self.model.positions[partition] = ViewPosition(TOPIC, offset, (), OWNER)
        copies: list[str] = []
        stored = self.node.run(POSITIONS, self.first, self.second, other)
        for key, flat in zip((self.first, self.second, other), stored, strict=True):
            fields = dict(zip(flat[::2], flat[1::2], strict=True))
            copies += [key, *(fields.get(name.encode(), b"").decode() for name in names)]
        assert copies[-3:] == [other, "", "something"]
        new = map(self._text, names)
        arguments = (self.first, self.second, *names, *new)
        if stale:
            assert self.node.run(GATHER, *arguments, *copies[:-1], "something else") == 0
            assert self.node.admin.exists(other)
        assert self.node.run(GATHER, *arguments, *copies) == 1
        assert not self.node.admin.exists(other)

    @rule()
    def forget(self) -> None:
        assert self.node.run(FORGET, self.first, *self.node.homes) == len(self.model.positions)
        self.model.positions.clear()

    @rule()
    def accept_loss(self) -> None:
        lost = [name for name, one in self.model.positions.items() if one.since]
        # Each is in both homes.
        assert self.node.run(ACCEPT_LOSS, self.first, *self.node.homes) == 2 * len(lost)
        for name in lost:
            self.model.positions[name] = moved(self.model.positions[name], since=0)

    @invariant()
    def profiles_are_the_newest_tags_since_the_erasure(self) -> None:
        for cookie, action in itertools.product(self.cookies, ACTIONS):
            there = self.node.admin.zrange(profile_key(cookie, action), 0, -1, withscores=True)
            assert there == self.model.top(cookie, action)

    @invariant()
    def marks_hold_every_erasure(self) -> None:
        for cookie in self.cookies:
            text: Any = self.node.admin.get(profile_key(cookie, "erased"))
            mark = None if text is None else decode_mark(text)
            there = None if mark is None else (mark.topic_id, mark.before)
            assert there == self.model.erased.get(cookie)

    @invariant()
    def both_homes_hold_the_positions(self) -> None:
        for home in self.node.homes:
            stored: Any = self.node.admin.hgetall(home)
            there = {name.decode(): decode_position(text) for name, text in stored.items()}
            assert there == self.model.positions

    def teardown(self) -> None:
        for cookie in self.cookies:
            for kind in (*ACTIONS, "erased"):
                self.node.admin.delete(profile_key(cookie, kind))


def test_any_sequence_of_scripts_leaves_what_the_model_says(node: Master) -> None:
    machine = type("ScriptsOfOneNode", (Scripts,), {"node": node})
    run_state_machine_as_test(
        machine, settings=settings(max_examples=50, stateful_step_count=20, deadline=None)
    )


class TestHowLongProfilesLive:
    IDLE_MS, RENEW_MS = 100_000, 10_000

    @pytest.fixture
    def cookie(self, node: Master) -> str:
        return next(node.cookies())

    def write(
        self, node: Master, cookie: str, action: str = "VIEW", *, idle_ms: int = IDLE_MS
    ) -> None:
        one = Write(cookie, action, 1, 1, 0, 1)
        renew_ms = min(self.RENEW_MS, idle_ms)
        node.run(QUICK_WRITE, node.homes[0], *flat([one], idle_ms, renew_ms))

    def left_ms(self, node: Master, cookie: str, action: str = "VIEW") -> int:
        return int(node.admin.pttl(profile_key(cookie, action)))

    def pass_ms(self, node: Master, cookie: str, left_ms: int) -> None:
        """As if so much of the time were left that both actions have in common."""
        for action in ACTIONS:
            node.admin.pexpire(profile_key(cookie, action), left_ms)

    def test_a_tag_gives_its_profile_the_whole_time(self, node: Master, cookie: str) -> None:
        self.write(node, cookie)
        assert self.IDLE_MS - 5_000 < self.left_ms(node, cookie) <= self.IDLE_MS

    def test_both_actions_live_as_long_as_one_of_them_is_written(
        self, node: Master, cookie: str
    ) -> None:
        self.write(node, cookie, "VIEW")
        self.pass_ms(node, cookie, 20_000)
        self.write(node, cookie, "BUY")
        for action in ACTIONS:
            assert self.left_ms(node, cookie, action) > self.IDLE_MS - 5_000
        self.pass_ms(node, cookie, 20_000)
        self.write(node, cookie, "BUY")
        for action in ACTIONS:
            assert self.left_ms(node, cookie, action) > self.IDLE_MS - 5_000

    def test_the_time_is_not_renewed_at_every_tag(self, node: Master, cookie: str) -> None:
        self.write(node, cookie)
        young_ms = self.IDLE_MS - self.RENEW_MS + 5_000
        self.pass_ms(node, cookie, young_ms)
        self.write(node, cookie)
        assert self.left_ms(node, cookie) <= young_ms
        self.pass_ms(node, cookie, self.IDLE_MS - self.RENEW_MS - 1)
        self.write(node, cookie)
        assert self.left_ms(node, cookie) > young_ms

    def test_a_shorter_time_holds_from_the_next_tag_on(self, node: Master, cookie: str) -> None:
        self.write(node, cookie)
        self.write(node, cookie, idle_ms=30_000)
        assert 25_000 < self.left_ms(node, cookie) <= 30_000

    def test_without_a_time_profiles_stay_and_what_had_one_loses_it(
        self, node: Master, cookie: str
    ) -> None:
        self.write(node, cookie, "VIEW", idle_ms=0)
        assert self.left_ms(node, cookie) == -1
        self.write(node, cookie, "BUY")
        assert self.left_ms(node, cookie, "VIEW") > 0
        self.write(node, cookie, "BUY", idle_ms=0)
        for action in ACTIONS:
            assert self.left_ms(node, cookie, action) == -1

    def test_a_profile_goes_when_its_time_is_over(self, node: Master, cookie: str) -> None:
        self.write(node, cookie, idle_ms=1)
        # Redis checks a key's expiry before it answers.
        assert node.admin.time()
        while self.left_ms(node, cookie) >= 0:
            pass
        assert not node.admin.exists(*(profile_key(cookie, action) for action in ACTIONS))

    @pytest.mark.parametrize("keep_ms", [0, 50_000])
    def test_a_mark_stays_as_long_as_it_was_told(
        self, node: Master, cookie: str, keep_ms: int
    ) -> None:
        node.erase(cookie, f"0:5,@{TOPIC}", keep_ms)
        left_ms = self.left_ms(node, cookie, "erased")
        assert left_ms == -1 if keep_ms == 0 else 45_000 < left_ms <= keep_ms

    def test_rules_renew_once_a_day_at_most(self) -> None:
        assert rules(90) == (200, 90 * DAY_MS, DAY_MS)
        assert rules(5) == (200, 5 * DAY_MS, DAY_MS // 2)
        assert rules(0) == (200, 0, 0)


class TestMarksOfAnotherTopic:
    """Its offsets say nothing of this one."""

    @pytest.fixture
    def cookie(self, node: Master) -> str:
        cookie = next(node.cookies())
        node.erase(cookie, f"0:50,1:50,@{OTHER}")
        return cookie

    def move(self, node: Master, *writes: Write) -> None:
        new = ViewPosition(TOPIC, 60, (), OWNER).encode()
        assert node.run(MOVE, *node.homes, "0", "", new, *flat(writes)) == [0]

    def test_the_feed_applies_tags_below_them(self, node: Master, cookie: str) -> None:
        write = Write(cookie, "VIEW", 1, 1, 0, 5)
        self.move(node, write)
        assert node.admin.zrange(profile_key(cookie, "VIEW"), 0, -1) == [write.member]

    def test_a_quick_write_leaves_such_tags_to_the_feed(self, node: Master, cookie: str) -> None:
        writes = [Write(cookie, "VIEW", 1, 1, 0, offset) for offset in (5, 50)]
        node.run(QUICK_WRITE, node.homes[0], *flat(writes[:1]))
        assert not node.admin.exists(profile_key(cookie, "VIEW"))
        node.run(QUICK_WRITE, node.homes[0], *flat(writes))
        assert node.admin.zcard(profile_key(cookie, "VIEW")) == 1

    def test_an_erasure_at_lower_offsets_is_done_and_replaces_it(
        self, node: Master, cookie: str
    ) -> None:
        self.move(node, Write(cookie, "VIEW", 1, 1, 0, 5), Write(cookie, "BUY", 1, 1, 0, 55))
        mark = f"0:10,1:3,@{TOPIC}"
        assert node.erase(cookie, mark) == 1
        assert not node.admin.exists(*(profile_key(cookie, action) for action in ACTIONS))
        assert node.admin.get(profile_key(cookie, "erased")) == mark.encode()
        assert node.erase(cookie, mark) == 0

    def test_a_feed_of_the_former_topic_that_comes_late_erases_nothing(
        self, node: Master, cookie: str
    ) -> None:
        write = Write(cookie, "VIEW", 1, 1, 0, 55)
        self.move(node, write)
        for name in ("0", "1"):
            answer = node.run(
                ERASE, node.homes[0], name, cookie, f"0:55,1:55,@{OTHER}", 0, *node.homes
            )
            assert answer == -1
        assert node.admin.zrange(profile_key(cookie, "VIEW"), 0, -1) == [write.member]
        position = node.admin.hget(node.homes[0], "0")
        assert position == ViewPosition(TOPIC, 60, (), OWNER).encode().encode()


class TestMarksWithoutATopic:
    """As older versions write them, also while they and this one run side by side."""

    @pytest.fixture
    def cookie(self, node: Master) -> str:
        cookie = next(node.cookies())
        node.admin.set(profile_key(cookie, "erased"), "0:50,1:50")
        return cookie

    def test_they_count_in_every_topic(self, node: Master, cookie: str) -> None:
        writes = [Write(cookie, "VIEW", 1, 1, 0, offset) for offset in (49, 50)]
        for position in (ViewPosition(topic, 51, (), OWNER) for topic in (TOPIC, OTHER)):
            old: Any = node.admin.hget(node.homes[0], "0") or b""
            move = (*node.homes, "0", old, position.encode())
            node.run(MOVE, *move, *flat(writes[:1]))
            assert not node.admin.exists(profile_key(cookie, "VIEW"))
        node.run(QUICK_WRITE, node.homes[0], *flat(writes))
        assert node.admin.zcard(profile_key(cookie, "VIEW")) == 1

    @pytest.mark.parametrize("before", ["0:10,1:3", "0:50,1:50", "0:60,1:60"])
    def test_an_erasure_is_done_once_and_replaces_it(
        self, node: Master, cookie: str, before: str
    ) -> None:
        """Whether they are of this topic, nobody knows: the log has what must be applied again."""
        node.run(QUICK_WRITE, node.homes[0], *flat([Write(cookie, "VIEW", 1, 1, 0, 70)]))
        for news in (1, 0):
            assert node.erase(cookie, f"{before},@{TOPIC}") == news
        assert not node.admin.exists(profile_key(cookie, "VIEW"))
        mark = f"{before},@{TOPIC}".encode()
        assert node.admin.get(profile_key(cookie, "erased")) == mark

    def test_scripts_of_those_versions_find_the_offsets_beside_a_topic(self, node: Master) -> None:
        mark = f"0:120,10:80,@{'0' * 32}"
        for partition, offset in (("0", b"120"), ("10", b"80"), ("1", None)):
            match = "return string.match(',' .. ARGV[1], ',' .. ARGV[2] .. ':(%d+)')"
            assert node.admin.eval(match, 0, mark, partition) == offset


class TestMarksOfBefore:
    """Before version 0.2 a mark was a time of arrival."""

    def test_what_arrived_until_then_is_erased(self, node: Master) -> None:
        cookie = next(node.cookies())
        node.admin.set(profile_key(cookie, "erased"), 1_000)
        writes = [Write(cookie, "VIEW", n, 0, 0, n, 999 + n) for n in range(3)]
        node.run(QUICK_WRITE, node.homes[0], *flat(writes))
        assert node.admin.zrange(profile_key(cookie, "VIEW"), 0, -1) == [writes[2].member]

    def test_a_new_erasure_replaces_it(self, node: Master) -> None:
        cookie = next(node.cookies())
        key = profile_key(cookie, "erased")
        node.admin.set(key, 1_000)
        assert node.erase(cookie, f"0:5,1:0,@{TOPIC}") == 1
        assert node.admin.get(key) == f"0:5,1:0,@{TOPIC}".encode()


def test_a_record_without_a_time_of_arrival_is_compared_by_its_offset(node: Master) -> None:
    cookie = next(node.cookies())
    node.erase(cookie, f"0:5,@{TOPIC}")
    writes = [Write(cookie, "VIEW", offset, 0, 0, offset, -1) for offset in (4, 5)]
    new = ViewPosition(TOPIC, 6, (), OWNER).encode()
    node.run(MOVE, *node.homes, "0", "", new, *flat(writes))
    assert node.admin.zrange(profile_key(cookie, "VIEW"), 0, -1) == [writes[1].member]


@pytest.mark.parametrize("cookie", ["}", "a}b", "%", "{x", "a b\x00ż"])
def test_awkward_cookies_are_erased_as_they_are_written(nodes: list[Master], cookie: str) -> None:
    cookie += new_cookie()
    (node,) = (one for one in nodes if cookie_slot(cookie) in slots_of(one.slots))
    escaped = escape_cookie(cookie)
    node.run(QUICK_WRITE, node.homes[0], *flat([Write(escaped, "VIEW", 1, 1, 0, 1)]))
    assert node.admin.zcard(profile_key(cookie, "VIEW")) == 1
    assert node.erase(escaped, f"0:2,@{TOPIC}") == 1
    assert node.admin.zcard(profile_key(cookie, "VIEW")) == 0


def test_offsets_beyond_32_bits_stay_exact(node: Master) -> None:
    cookie, far = next(node.cookies()), 2**53 - 1
    new = ViewPosition(TOPIC, far + 1, (), OWNER).encode()
    node.run(MOVE, *node.homes, "0", "", new, *flat([]))
    assert node.erase(cookie, f"0:{far},@{TOPIC}") == 1
    back = ViewPosition(TOPIC, far, (), OWNER).encode()
    assert node.admin.hget(node.homes[0], "0") == back.encode()


def test_a_shard_of_one_slot_has_one_home(node: Master) -> None:
    cookie, home = next(node.cookies()), node.homes[0]
    old = ViewPosition(TOPIC, 7, (), OWNER, since=2).encode()
    new = ViewPosition(TOPIC, 9, (), OWNER, since=2).encode()
    node.run(MOVE, home, "", "0", "", old, *flat([]))
    node.run(MOVE, home, "", "0", old, new, *flat([Write(cookie, "VIEW", 1, 1, 0, 8)]))
    node.run(MOVE, home, "", "0+", "", old, *flat([]))
    assert node.run(ERASE, home, "0", cookie, f"0:5,@{TOPIC}", 0, home) == 1
    assert node.run(ACCEPT_LOSS, home, home) == 2
    main, arrivals = (ViewPosition(TOPIC, 5, (), OWNER).encode() for _ in range(2))
    assert node.run(MERGE, home, "", "0", main, old, "0+", arrivals) == 1
    assert node.admin.hgetall(home) == {b"0": old.encode()}
    assert node.admin.zcard(profile_key(cookie, "VIEW")) == 0


def test_a_key_of_another_type_stops_the_move_and_says_so(node: Master) -> None:
    cookie, other = itertools.islice(node.cookies(), 2)
    node.admin.set(profile_key(cookie, "VIEW"), "no sorted set")
    new = ViewPosition(TOPIC, 6, (), OWNER).encode()
    writes = [Write(cookie, "VIEW", 1, 1, 0, 1), Write(other, "VIEW", 1, 1, 0, 2)]
    with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
        node.run(MOVE, *node.homes, "0", "", new, *flat(writes))
    assert not any(map(node.admin.exists, node.homes))
    # A quick write skips it.
    assert node.run(QUICK_WRITE, node.homes[0], *flat(writes)) == 0
    assert node.admin.zcard(profile_key(other, "VIEW")) == 1


class TestSlotsThatLeave:
    @pytest.fixture
    def cookie(self, nodes: list[Master]) -> Iterator[str]:
        """A slot that is migrating; none of its keys has left."""
        source, target = nodes[:2]
        homes = {cookie_slot(home[6:-1]) for home in source.homes}
        cookie = next(one for one in source.cookies() if cookie_slot(one) not in homes)
        slot = cookie_slot(cookie)
        ids = [one.admin.execute_command("CLUSTER MYID").decode() for one in (source, target)]
        source.admin.execute_command("CLUSTER SETSLOT", slot, "MIGRATING", ids[1])
        target.admin.execute_command("CLUSTER SETSLOT", slot, "IMPORTING", ids[0])
        yield cookie
        for one in (source, target):
            one.admin.execute_command("CLUSTER SETSLOT", slot, "STABLE")

    def test_what_has_left_stops_the_position_and_no_other_tag(
        self, node: Master, cookie: str
    ) -> None:
        here = next(node.cookies())
        writes = [
            Write(cookie, "VIEW", 1, 1, 0, 0),
            Write(here, "VIEW", 1, 1, 0, 1),
            Write(cookie, "BUY", 1, 1, 0, 2),
        ]
        new = ViewPosition(TOPIC, 3, (), OWNER).encode()
        answer = node.run(MOVE, *node.homes, "0", "", new, *flat(writes))
        assert answer == [2, 0, 2]
        assert not any(map(node.admin.exists, node.homes))
        assert node.admin.zcard(profile_key(here, "VIEW")) == 1

    def test_a_quick_write_leaves_out_what_has_left(self, node: Master, cookie: str) -> None:
        here = next(node.cookies())
        writes = [Write(cookie, "VIEW", 1, 1, 0, 1), Write(here, "VIEW", 1, 1, 0, 2)]
        assert node.run(QUICK_WRITE, node.homes[0], *flat(writes)) == 0
        assert node.admin.zcard(profile_key(here, "VIEW")) == 1

    def test_positions_that_have_left_are_not_looked_for(self, node: Master, cookie: str) -> None:
        left, other = view_key(cookie_slot(cookie)), view_key(near_homes(node.slots)[-1])
        node.admin.hset(other, mapping={"0": "a", "1": "b"})
        first, *rest = node.run(POSITIONS, node.homes[0], left, other)
        assert (first, rest[0], sorted(rest[1])) == ([], None, [b"0", b"1", b"a", b"b"])
        assert node.run(CLEAR, node.homes[0], "0", "0+", left, other) == 1
        assert node.admin.hgetall(other) == {b"1": b"b"}
        with pytest.raises(redis.ResponseError, match="non local key"):
            node.run(GATHER, node.homes[0], "", "1", "1+", "", "", other, "b", "", left, "", "")
        assert node.admin.hgetall(other) == {b"1": b"b"}
        assert node.run(ACCEPT_LOSS, node.homes[0], left, other) == 0
        assert node.run(FORGET, node.homes[0], left, other) == 0
        assert not node.admin.exists(other)

    def test_an_erasure_of_what_has_left_is_not_done_here(self, node: Master, cookie: str) -> None:
        position = ViewPosition(TOPIC, 9, (), OWNER).encode()
        node.run(MOVE, *node.homes, "0", "", position, *flat([]))
        with pytest.raises(redis.ResponseError, match="non local key"):
            node.erase(cookie, f"0:5,@{TOPIC}")
        assert node.admin.hget(node.homes[0], "0") == position.encode()


def test_an_erasure_with_one_list_left_behind_changes_no_position(nodes: list[Master]) -> None:
    """Half of a profile has moved: the erasure is applied at the slot's new owner."""
    source, target = nodes[:2]
    homes = {cookie_slot(home[6:-1]) for home in source.homes}
    cookie = next(one for one in source.cookies() if cookie_slot(one) not in homes)
    slot = cookie_slot(cookie)
    source.run(QUICK_WRITE, source.homes[0], *flat([Write(cookie, "VIEW", 1, 1, 0, 1)]))
    ids = [one.admin.execute_command("CLUSTER MYID").decode() for one in (source, target)]
    source.admin.execute_command("CLUSTER SETSLOT", slot, "MIGRATING", ids[1])
    target.admin.execute_command("CLUSTER SETSLOT", slot, "IMPORTING", ids[0])
    try:
        position = ViewPosition(TOPIC, 9, (), OWNER).encode()
        source.run(MOVE, *source.homes, "0", "", position, *flat([]))
        with pytest.raises(redis.ResponseError, match="non local key"):
            source.erase(cookie, f"0:5,@{TOPIC}")
        assert source.admin.hget(source.homes[0], "0") == position.encode()
        assert source.admin.zcard(profile_key(cookie, "VIEW")) == 1
    finally:
        for one in (source, target):
            one.admin.execute_command("CLUSTER SETSLOT", slot, "STABLE")
