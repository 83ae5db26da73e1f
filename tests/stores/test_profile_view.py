"""The profile view on a real cluster: profiles are complete despite losses, moves and twins."""

import asyncio
import random
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import ExitStack, contextmanager

import pytest
import pytest_asyncio
import redis

from actors.profiles.status import IDLE, RUNNING
from actors.profiles.view import ProfileView
from serve_app.core.errors import StoreAway
from serve_app.core.names import cookie_slot, profile_key, view_key
from serve_app.core.slots import contains, slots_of
from serve_app.stores import profile_scripts
from serve_app.stores.redis_shards import RedisShards, Shard
from setup.local.platform import Platform
from tests.marks import second_tier
from tests.stores.conftest import kill, stopped
from tests.stores.view_harness import ViewHarness
from tests.tags import encoded, new_cookie, wire_tag
from tests.waiting import eventually, wait_until

Master = tuple[str, int]
"""Node id and port."""


def admin_of(shard: Shard) -> redis.Redis:
    return redis.Redis("127.0.0.1", shard.master.port)


def master(shard: Shard) -> Master:
    return shard.node_id, shard.master.port


def part_of(platform: Platform, shard: Shard) -> str:
    return f"redis-{shard.master.port - platform.ports['redis'] + 1}"


@pytest_asyncio.fixture
async def harness(redis_stores: Platform, shards: RedisShards) -> AsyncIterator[ViewHarness]:
    """Empty shards."""
    for shard in shards.shards:
        admin_of(shard).flushall()
    harness = ViewHarness(redis_stores.settings(), shards)
    yield harness
    await harness.end()


def main_states(view: ProfileView) -> dict[str, str]:
    """First word of the state of each shard's main lane."""
    return {one.shard: one.state.partition(":")[0] for one in view.statuses if not one.arrivals}


async def test_every_tag_is_applied_and_every_position_moves(harness: ViewHarness) -> None:
    harness.watch()
    view = harness.start()
    harness.send(300)
    await harness.whole()
    harness.send(200)
    await harness.whole()
    await harness.settled()
    assert view.applied == 500
    assert view.conflicts == 0
    assert set(main_states(view).values()) == {RUNNING}
    assert {one.state for one in view.statuses if one.arrivals} == {IDLE}
    assert [one["lag"] for one in view.document()] == [0, 0, 0]


async def test_records_that_are_no_tags_hold_up_nothing(harness: ViewHarness) -> None:
    harness.start()
    harness.send(10)
    for value in (b"junk", None, encoded(wire_tag(new_cookie(), action="LOOK"))):
        harness.log.put(value)
    harness.log.put(b"{}", headers=[("format", b"avro/7")])
    harness.send(10)
    harness.log.put(b"junk at the end")
    await harness.whole()
    await harness.settled()


async def test_the_next_instance_goes_on_where_the_last_one_was(harness: ViewHarness) -> None:
    first = harness.start()
    harness.send(200)
    await harness.settled()
    await harness.stop(first)
    harness.send(50)
    second = harness.start()
    await harness.whole()
    await harness.settled()
    assert (second.applied, second.conflicts) == (50, 0)


async def test_an_emptied_shard_gets_everything_again(harness: ViewHarness) -> None:
    harness.watch()
    view = harness.start()
    harness.send(300)
    await harness.whole()
    admin_of(harness.shards.shards[0]).flushall()
    harness.send(20)
    await harness.whole()
    await harness.settled()
    slots = harness.shards.shards[0].slots
    again = sum(contains(slots, cookie_slot(tag["cookie"])) for _, tag in harness.sent[:300])
    # The others are not affected.
    assert view.applied == 320 + again


@pytest.mark.parametrize("idle", [True, False])
async def test_a_position_that_was_forgotten_is_claimed_at_the_log_s_begin(
    harness: ViewHarness, idle: bool
) -> None:
    view = harness.start()
    harness.send(200)
    await harness.settled()
    for shard in harness.shards.shards:
        for home in shard.homes:
            admin_of(shard).delete(view_key(home))
    if not idle:
        harness.send(100)
    await eventually(lambda: _applied(view, 400 if idle else 500))
    await harness.whole()
    await harness.settled()


async def _applied(view: ProfileView, count: int) -> bool:
    return view.applied >= count


async def test_one_home_is_enough(harness: ViewHarness) -> None:
    view = harness.start()
    harness.send(200)
    await harness.settled()
    for index, shard in enumerate(harness.shards.shards):
        admin_of(shard).delete(view_key(shard.homes[index % 2]))
    harness.send(50)
    await harness.whole()
    await harness.settled()
    assert view.applied == 250


async def test_two_instances_do_the_work_of_one_between_them(harness: ViewHarness) -> None:
    harness.watch()
    first, second = harness.start(), harness.start()
    for _ in range(20):
        harness.send(25)
        await asyncio.sleep(0.02)
    await harness.whole()
    await harness.settled()
    # Each pipeline may conflict for one of them, who repeats it: at most twice.
    assert 500 <= first.applied + second.applied <= 1_000
    await harness.stop(first)
    harness.send(100)
    await harness.whole()
    await harness.settled()


async def test_an_instance_that_was_stopped_in_mid_pipeline_does_no_harm(
    harness: ViewHarness,
) -> None:
    """An old instance that resumes finds the position moved, and its writes already applied."""
    harness.watch()
    harness.send(400)
    for _ in range(6):
        view = harness.start(view_pipeline_tags=5)
        await asyncio.sleep(0.15)
        await harness.stop(view)
    harness.start()
    await harness.whole()
    await harness.settled()


class TestErasures:
    async def test_what_was_there_goes_and_what_comes_is_a_new_history(
        self, harness: ViewHarness
    ) -> None:
        harness.watch()
        view = harness.start()
        gone, stays = harness.cookies[:2]
        harness.send(100)
        await harness.whole()
        harness.erase(gone)
        harness.send(20, [gone, stays])
        await harness.whole()
        await harness.settled()
        assert sum(one.erased for one in view.statuses) == 1

    async def test_it_holds_in_every_later_replay(self, harness: ViewHarness) -> None:
        first = harness.start()
        gone = harness.cookies[0]
        harness.send(100)
        harness.erase(gone)
        harness.send(30, [gone])
        await harness.whole()
        await harness.stop(first)
        # Without positions, with the mark; then without anything.
        for shard in harness.shards.shards:
            for home in shard.homes:
                admin_of(shard).delete(view_key(home))
        harness.watch()
        second = harness.start()
        await harness.whole()
        await harness.settled()
        assert sum(one.erased for one in second.statuses) == 0
        for shard in harness.shards.shards:
            admin_of(shard).flushall()
        await harness.whole()
        await harness.settled()

    async def test_a_mark_that_is_there_before_its_record_holds_as_well(
        self, harness: ViewHarness
    ) -> None:
        """The feed of another partition came to its own record of the erasure sooner."""
        harness.start()
        gone = harness.cookies[0]
        harness.send(60, [gone])
        await harness.whole()
        erasure = harness.erase(gone)
        record = harness.log.records.pop()
        shard = harness.shards.shard_of(profile_key(gone, "VIEW"))
        assert await harness.shard_view(shard.name).erase("0", harness.log.topic_id, erasure)
        await harness.settled()
        assert (await harness.read(gone))[1] == {"cookie": gone, "views": [], "buys": []}
        harness.log.records.append(record)
        harness.send(5, [gone])
        await harness.whole()

    async def test_a_second_erasure_takes_what_came_after_the_first(
        self, harness: ViewHarness
    ) -> None:
        harness.start()
        gone = harness.cookies[0]
        for _ in range(3):
            harness.send(20, [gone])
            harness.erase(gone)
        harness.send(3, [gone])
        await harness.whole()
        await harness.settled()

    async def test_in_a_new_topic_the_tags_of_an_erased_cookie_are_new(
        self, harness: ViewHarness
    ) -> None:
        """Their offsets are below those that the erasure in the former topic reached."""
        harness.start()
        harness.cookies = harness.cookies[:1]
        harness.send(60)
        harness.erase(harness.cookies[0])
        await harness.whole()
        await harness.replace_topic()
        harness.send(20)
        await harness.whole()
        await harness.settled()

    async def test_in_a_new_topic_a_cookie_is_erased_again(self, harness: ViewHarness) -> None:
        """Along with its tags of the former topic; at offsets below those of that erasure."""
        view = harness.start()
        harness.cookies = harness.cookies[:1]
        harness.send(60)
        harness.erase(harness.cookies[0])
        harness.send(20)
        await harness.whole()
        await harness.replace_topic()
        harness.erase(harness.cookies[0])
        await harness.whole()
        harness.send(10)
        harness.erase(harness.cookies[0])
        harness.send(5)
        await harness.whole()
        await harness.settled()
        assert sum(one.erased for one in view.statuses) == 3

    @pytest.mark.parametrize("seed", range(4))
    async def test_in_every_order_of_events(self, harness: ViewHarness, seed: int) -> None:
        chance = random.Random(seed)
        view = harness.start(view_pipeline_tags=chance.choice([3, 50]))
        for _ in range(25):
            match chance.choice(["send", "send", "send", "erase", "empty", "forget", "restart"]):
                case "send":
                    harness.send(chance.randrange(1, 40))
                case "erase":
                    harness.erase(chance.choice(harness.cookies[:5]))
                case "empty":
                    admin_of(chance.choice(harness.shards.shards)).flushall()
                case "forget":
                    shard = chance.choice(harness.shards.shards)
                    admin_of(shard).delete(view_key(chance.choice(shard.homes)))
                case "restart":
                    await harness.stop(view)
                    view = harness.start()
            await asyncio.sleep(chance.choice([0, 0.02, 0.2]))
        await harness.whole()
        await harness.settled()


class TestLogsThatLostTheirBegin:
    async def test_what_the_log_no_longer_has_is_refused_until_somebody_accepts_it(
        self, harness: ViewHarness
    ) -> None:
        harness.log.begin = harness.log.first = 50
        view = harness.start()
        harness.send(100)

        await eventually(lambda: _lost(view, 50))
        for cookie in harness.cookies:
            reached, _ = await harness.read(cookie)
            assert "before offset 50 is unknown" in reached.lost
        assert {one["lost_before"] for one in view.document()} == {50}
        for shard in harness.shards.shards:
            first, second = map(view_key, shard.homes)
            command = profile_scripts.run(profile_scripts.ACCEPT_LOSS, first, [first, second])
            assert await harness.shards.on_master(shard, [command]) == [2]
        await harness.whole()
        harness.send(20)
        await harness.whole()
        await harness.settled()

    async def test_a_position_that_the_log_has_left_behind_says_so(
        self, harness: ViewHarness
    ) -> None:
        first = harness.start()
        harness.send(50)
        await harness.settled()
        await harness.stop(first)
        harness.send(50)
        harness.log.begin = 80
        second = harness.start()

        await eventually(lambda: _lost(second, 80))
        assert "before offset 80" in (await harness.read(harness.cookies[0]))[0].lost

    async def test_with_a_position_an_old_log_loses_nothing(self, harness: ViewHarness) -> None:
        """Retention only drops what was applied long ago."""
        first = harness.start()
        harness.send(100)
        await harness.settled()
        await harness.stop(first)
        harness.log.begin = 100
        harness.start()
        harness.send(10)
        await harness.whole()
        await harness.settled()


async def _lost(view: ProfileView, before: int) -> bool:
    """Whether all main lanes are done, and report that data before an offset are unknown."""
    mains = [one for one in view.statuses if not one.arrivals]
    return [(one.since, one.lag) for one in mains] == [(before, 0)] * 3


class TestStoresThatAreAway:
    async def test_a_master_that_hangs_holds_up_no_other_shard(
        self, harness: ViewHarness, redis_stores: Platform
    ) -> None:
        harness.watch()
        view = harness.start()
        harness.send(100)
        await harness.whole()
        hung, *others = harness.shards.shards
        there = [c for c in harness.cookies if not contains(hung.slots, cookie_slot(c))]
        with stopped(redis_stores, part_of(redis_stores, hung)):
            harness.send(100)

            async def others_whole() -> bool:
                return all([await harness.check(cookie) for cookie in there])

            await eventually(others_whole, 5)
            with pytest.raises(StoreAway):
                await harness.read(next(c for c in harness.cookies if c not in there))
            await eventually(lambda: _waits(view, hung.name))
        await harness.whole()
        await harness.settled()
        assert set(main_states(view).values()) == {RUNNING}
        assert len(others) == 2

    async def test_a_master_that_is_killed_loses_nothing(
        self, harness: ViewHarness, redis_stores: Platform
    ) -> None:
        harness.watch()
        harness.start()
        for shard in harness.shards.shards[:2]:
            for _ in range(5):
                harness.send(20)
                await asyncio.sleep(0.02)
            kill(redis_stores, part_of(redis_stores, shard))
            for _ in range(5):
                harness.send(20)
                await asyncio.sleep(0.02)
        await harness.whole()
        await harness.settled()

    async def test_with_all_of_redis_hanging_nothing_is_lost(
        self, harness: ViewHarness, redis_stores: Platform
    ) -> None:
        harness.watch()
        harness.start()
        harness.send(50)
        await harness.whole()
        with ExitStack() as stack:
            for shard in harness.shards.shards:
                stack.enter_context(stopped(redis_stores, part_of(redis_stores, shard)))
            harness.send(100)
            await asyncio.sleep(1.5)
        await harness.whole()
        await harness.settled()

    async def test_a_shard_without_memory_says_so_and_goes_on_later(
        self, harness: ViewHarness
    ) -> None:
        view = harness.start()
        harness.send(50)
        await harness.settled()
        full = harness.shards.shards[0]
        admin_of(full).config_set("maxmemory", 1)
        try:
            harness.send(100)

            async def failed() -> bool:
                return main_states(view)[full.name] == "failed"

            await eventually(failed)
            (status,) = (o for o in view.statuses if o.shard == full.name and not o.arrivals)
            assert "OOM" in str(status.error)
        finally:
            admin_of(full).config_set("maxmemory", 0)
        await harness.whole()
        await harness.settled()

    async def test_a_log_that_is_away_is_waited_for(self, harness: ViewHarness) -> None:
        view = harness.start()
        harness.send(50)
        await harness.settled()
        harness.log.away = True

        async def waits() -> bool:
            return set(main_states(view).values()) == {"waiting"}

        await eventually(waits)
        harness.log.away = False
        harness.send(50)
        await harness.whole()
        await harness.settled()
        assert view.applied == 100

    async def test_a_reader_that_has_records_and_hands_none_over_is_opened_anew(
        self, harness: ViewHarness
    ) -> None:
        harness.start()
        harness.send(50)
        await harness.settled()
        closes = [reader.closes for reader in harness.log.readers]
        for reader in harness.log.readers:
            reader.silent = True
        await asyncio.sleep(0.6)
        # Nothing to hand over is no reason.
        assert [reader.closes for reader in harness.log.readers] == closes
        harness.send(50)
        await harness.whole()

    async def test_a_topic_that_was_made_again_is_refused_until_the_old_one_is_back(
        self, harness: ViewHarness
    ) -> None:
        view = harness.start()
        harness.send(50)
        await harness.settled()
        old, harness.log.topic_id = harness.log.topic_id, "cd" * 16

        async def failed() -> bool:
            return set(main_states(view).values()) == {"failed"}

        await eventually(failed)
        assert all("replaced" in one.state for one in view.statuses if not one.arrivals)
        reached, _ = await harness.read(harness.cookies[0])
        assert reached.topic_ids == {old}
        harness.log.topic_id = old
        harness.send(50)
        await harness.whole()
        await harness.settled()

    async def test_a_position_past_the_end_is_loud(self, harness: ViewHarness) -> None:
        first = harness.start()
        harness.send(50)
        await harness.settled()
        await harness.stop(first)
        del harness.log.records[10:]
        second = harness.start()

        async def failed() -> bool:
            return set(main_states(second).values()) == {"failed"}

        await eventually(failed)
        assert "next offset is 50" in str(second.statuses[0].error)


async def _waits(view: ProfileView, name: str) -> bool:
    return main_states(view)[name] == "waiting"


class TestSlotsThatMove:
    @pytest.fixture(autouse=True)
    def slots_go_back(self, redis_stores: Platform) -> Iterator[None]:
        """Give slots back at the end: other tests expect three shards."""
        before = _owners(redis_stores)
        yield
        moved: dict[tuple[Master, Master], list[int]] = {}
        for slot, owner in sorted(_owners(redis_stores).items()):
            if owner != before[slot]:
                moved.setdefault((owner, before[slot]), []).append(slot)
        for (now, then), slots in moved.items():
            _give(slots, now, then)

    async def test_under_writes_nothing_is_lost_and_no_answer_is_short(
        self, harness: ViewHarness, redis_stores: Platform
    ) -> None:
        source, target = harness.shards.shards[:2]
        moving = _new_cookies(source, 12)
        harness.cookies += moving
        harness.watch()
        view = harness.start()
        harness.send(400)
        await harness.whole()
        for wave in range(2):
            move = asyncio.create_task(
                asyncio.to_thread(_reshard, redis_stores, source, target, 400)
            )
            while not move.done():
                harness.send(10)
                await asyncio.sleep(0.02)
            await move
            harness.send(50)
            await harness.whole(40)
            await harness.settled(40)
            source, target = target, source
            assert wave in (0, 1)
        assert harness.answered > 100
        # Merged, and at rest.
        assert {one.state for one in view.statuses if one.arrivals} == {IDLE}

    @second_tier
    async def test_slots_that_came_while_nobody_looked(
        self, harness: ViewHarness, redis_stores: Platform
    ) -> None:
        source, target = harness.shards.shards[:2]
        harness.cookies += _new_cookies(source, 12)
        view = harness.start()
        harness.send(300)
        await harness.settled()
        await harness.stop(view)
        harness.watch()
        await asyncio.to_thread(_reshard, redis_stores, source, target, 600)
        harness.send(100)
        harness.start()
        await harness.whole(40)
        await harness.settled(40)

    @second_tier
    async def test_a_home_that_moves_takes_no_position_with_it(
        self, harness: ViewHarness, redis_stores: Platform
    ) -> None:
        """The slot arrives with its position key, which is the other shard's."""
        harness.watch()
        harness.start()
        harness.send(200)
        await harness.whole()
        for _ in range(2):
            source, target = harness.shards.shards[:2]
            home = source.homes[0]
            with _moved(master(source), master(target), home):
                pass
            harness.send(60)
            await harness.whole(40)
            await harness.settled(40)
            # Nor does it keep one, with which it could come back to older data.
            (target,) = (one for one in harness.shards.shards if one.name == target.name)
            assert home in target.homes or not admin_of(target).exists(view_key(home))

    @second_tier
    async def test_slots_that_were_whole_before_are_whole_though_the_log_lost_its_begin(
        self, harness: ViewHarness, redis_stores: Platform
    ) -> None:
        source, target = harness.shards.shards[:2]
        harness.cookies += _new_cookies(source, 12)
        harness.start()
        harness.send(300)
        await harness.settled()
        harness.log.begin = 200
        harness.watch()
        await asyncio.to_thread(_reshard, redis_stores, source, target, 300)
        harness.send(50)
        await harness.whole(40)
        await harness.settled(40)

    @second_tier
    async def test_a_slot_that_comes_back_without_its_data_is_fed_again(
        self, harness: ViewHarness, redis_stores: Platform
    ) -> None:
        """Without new tags, the position must still release the slot."""
        source, target = harness.shards.shards[:2]
        cookie = _new_cookies(source, 1)[0]
        harness.cookies.append(cookie)
        harness.start()
        harness.send(100)
        harness.send(20, [cookie])
        await harness.whole()
        await harness.settled()
        harness.watch()
        slot = cookie_slot(cookie)
        with _moved(master(source), master(target), slot):
            pass
        await harness.whole()
        await harness.settled()
        admin_of(target).flushall()
        with _moved(master(target), master(source), slot):
            pass
        await harness.whole()
        await harness.settled()

    @second_tier
    async def test_an_erased_cookie_that_moves_stays_erased(
        self, harness: ViewHarness, redis_stores: Platform
    ) -> None:
        source, target = harness.shards.shards[:2]
        gone = _new_cookies(source, 1)[0]
        harness.cookies.append(gone)
        harness.watch()
        harness.start()
        harness.send(100)
        harness.send(20, [gone])
        await harness.whole()
        with _moved(master(source), master(target), cookie_slot(gone)):
            harness.erase(gone)
            harness.send(5, [gone])
            await asyncio.sleep(0.3)
        harness.send(5, [gone])
        await harness.whole(40)
        await harness.settled(40)

    @second_tier
    async def test_a_shard_that_is_drained_is_fed_no_more(
        self, harness: ViewHarness, redis_stores: Platform
    ) -> None:
        source, target = harness.shards.shards[:2]
        # Otherwise it would become a replica, and later tests expect three shards.
        admin_of(source).config_set("cluster-allow-replica-migration", "no")
        harness.watch()
        view = harness.start()
        harness.send(200)
        await harness.whole()
        slots = sorted(slots_of(source.slots))
        move = asyncio.create_task(asyncio.to_thread(_give, slots, master(source), master(target)))
        while not move.done():
            harness.send(5)
            await asyncio.sleep(0.05)
        await move
        harness.send(50)
        await harness.whole(60)
        await harness.settled(60)

        async def gone() -> bool:
            return source.name not in main_states(view)

        await eventually(gone)


def _new_cookies(shard: Shard, count: int) -> list[str]:
    """Cookies of the shard's first slots, which move first."""
    first, last = shard.slots[0]
    low = (first, min(last, first + 299))
    found: list[str] = []
    while len(found) < count:
        cookie = new_cookie()
        if contains((low,), cookie_slot(cookie)):
            found.append(cookie)
    return found


def _owners(platform: Platform) -> dict[int, Master]:
    """Owner of each slot."""
    admin = redis.Redis("127.0.0.1", platform.ports["redis"])
    return {
        slot: (node_id.decode(), port)
        for first, last, (_, port, node_id, *_), *_ in admin.execute_command("CLUSTER SLOTS")
        for slot in range(first, last + 1)
    }


def _reshard(platform: Platform, source: Shard, target: Shard, count: int) -> None:
    """Move slots as an operator would, once the nodes agree on earlier moves."""
    tool = shutil.which("redis-cli")
    assert tool
    address = f"127.0.0.1:{platform.ports['redis']}"

    def ask(what: str, *options: str) -> subprocess.CompletedProcess[str]:
        command = (tool, "--cluster", what, address, *options)
        return subprocess.run(command, capture_output=True, text=True, check=False)

    wait_until("the nodes to agree", lambda: ask("check").returncode == 0)
    ends = ("--cluster-from", source.node_id, "--cluster-to", target.node_id)
    done = ask("reshard", *ends, "--cluster-slots", str(count), "--cluster-yes")
    assert done.returncode == 0, done.stdout[-2_000:]


def _give(slots: Sequence[int], source: Master, target: Master) -> None:
    """Move slots in the same steps as redis-cli, but many empty ones at a time."""
    old, new = (redis.Redis("127.0.0.1", port) for _, port in (source, target))
    with old.pipeline(transaction=False) as pipeline:
        for slot in slots:
            pipeline.execute_command("CLUSTER COUNTKEYSINSLOT", slot)
        counts = pipeline.execute()
    empty = [slot for slot, count in zip(slots, counts, strict=True) if not count]
    for slot in set(slots) - set(empty):
        with _moved(source, target, slot):
            pass
    # A key created in a slot just then is deleted by its node; the log has it.
    for node in (new, old):
        with node.pipeline(transaction=False) as pipeline:
            for slot in empty:
                pipeline.execute_command("CLUSTER SETSLOT", slot, "NODE", target[0])
            pipeline.execute(raise_on_error=False)


@contextmanager
def _moved(source: Master, target: Master, slot: int) -> Iterator[None]:
    """Move one slot; within the context it is migrating, and some of its keys have left."""
    old, new = (redis.Redis("127.0.0.1", port) for _, port in (source, target))
    new.execute_command("CLUSTER SETSLOT", slot, "IMPORTING", source[0])
    old.execute_command("CLUSTER SETSLOT", slot, "MIGRATING", target[0])

    def migrate(most: int) -> bool:
        keys = old.execute_command("CLUSTER GETKEYSINSLOT", slot, most)
        if keys:
            arguments = ("MIGRATE", "127.0.0.1", target[1], "", 0, 5_000, "KEYS", *keys)
            old.execute_command(*arguments)
        return bool(keys)

    migrate(1)
    try:
        yield
    finally:
        while migrate(100):
            pass
        for node in (new, old):
            node.execute_command("CLUSTER SETSLOT", slot, "NODE", target[0])
