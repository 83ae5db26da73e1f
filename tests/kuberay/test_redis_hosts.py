"""Masters and replicas on hosts of their own."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from setup.kubernetes import redis_hosts
from setup.kubernetes.redis_hosts import (
    NodeDown,
    better_masters,
    better_promotions,
    shared_hosts,
    strangers,
)
from setup.redis_cluster import ClusterError, View

MASTERS = ("m0", "m1", "m2")
HOSTS = {"m0": "a", "m1": "b", "m2": "c", "r0": "a", "r1": "b", "r2": "c"}


@given(st.permutations(MASTERS))
def test_on_three_hosts_every_order_is_put_right(order: list[str]) -> None:
    before = dict(zip(("r0", "r1", "r2"), order, strict=True))

    after = {**before, **better_masters(HOSTS, before)}

    assert sorted(after.values()) == list(MASTERS)
    assert all(HOSTS[replica] != HOSTS[master] for replica, master in after.items())
    assert not better_masters(HOSTS, after), "a second run changes nothing"


def test_every_placement_with_a_solution_gets_no_worse() -> None:
    for hosts in itertools.product("abc", repeat=3):
        where = {**HOSTS, **dict(zip(("r0", "r1", "r2"), hosts, strict=True))}
        before = {"r0": "m0", "r1": "m1", "r2": "m2"}
        after = {**before, **better_masters(where, before)}

        def shared(of: dict[str, str], where: dict[str, str] = where) -> int:
            return sum(where[replica] == where[master] for replica, master in of.items())

        assert shared(after) <= shared(before)


def test_one_host_alone_is_left_as_it_is() -> None:
    hosts = dict.fromkeys(HOSTS, "a")

    assert not better_masters(hosts, {"r0": "m0", "r1": "m1", "r2": "m2"})


@given(st.lists(st.sampled_from("abc"), min_size=3, max_size=3), st.permutations(MASTERS))
def test_masters_are_parted_where_a_replica_is_on_an_emptier_host(
    placed: list[str], order: list[str]
) -> None:
    hosts = {**HOSTS, **dict(zip(MASTERS, placed, strict=True))}
    replica_of = dict(zip(("r0", "r1", "r2"), order, strict=True))

    promoted = better_promotions(hosts, MASTERS, replica_of)

    replaced = [replica_of[replica] for replica in promoted]
    assert len(set(replaced)) == len(replaced), "one successor for each"
    masters = [*(set(MASTERS) - set(replaced)), *promoted]
    now = [hosts[name] for name in masters]

    def worst(where: list[str]) -> int:
        return max(map(where.count, where))

    assert worst(now) <= worst(placed)
    left = {new: replica_of[new] for new in promoted}
    others = {one: of for one, of in replica_of.items() if one not in promoted}
    after = {**others, **{old: new for new, old in left.items()}}
    assert not better_promotions(hosts, masters, after), "a second run changes nothing"


def test_what_a_lost_host_leaves_is_put_right() -> None:
    """Host b was lost and came back: r1's shard, with its replica on c, has its master there."""
    hosts = {"m0": "a", "m1": "b", "m2": "c", "r0": "b", "r1": "c", "r2": "a"}
    replica_of = {"r0": "m0", "m1": "r1", "r2": "m2"}

    assert better_promotions(hosts, ["m0", "r1", "m2"], replica_of) == ["m1"]


def view_of(node_id: str) -> View:
    """Of a cluster in order."""
    return View(
        node_id,
        frozenset(HOSTS),
        {name: frozenset({index}) for index, name in enumerate(MASTERS)},
        {"r0": "m1", "r1": "m2", "r2": "m0"},
        "ok",
    )


def test_nothing_is_moved_while_a_new_node_has_a_lost_ones_address() -> None:
    views = [view_of(name) for name in HOSTS]
    assert not strangers(HOSTS, views)
    # The disk of r2 was lost.
    hosts = {"new" if name == "r2" else name: host for name, host in HOSTS.items()}
    new = View("new", frozenset({"new"}), {"new": frozenset()}, {}, "fail")

    assert "gone: r2" in strangers(hosts, [*views[:-1], new])
    assert "new was not introduced to m0" in strangers(hosts, [new, *views[:-1]])


def test_two_masters_on_a_host_are_named() -> None:
    view = view_of("m0")

    assert not shared_hosts(HOSTS, view)
    problems = shared_hosts({**HOSTS, "m1": "a"}, view)
    assert any("2 masters on host a" in problem for problem in problems)
    assert any("shares host a" in problem for problem in problems)


@pytest.mark.parametrize(
    ("outcome", "status"),
    [
        ([], 0),
        (["2 masters on host a"], 1),
        (NodeDown("redis-3 does not answer"), 0),
        (ClusterError("waited in vain"), 1),
    ],
)
def test_the_periodic_run_fails_where_all_answer_and_something_is_wrong(
    monkeypatch: pytest.MonkeyPatch, outcome: list[str] | Exception, status: int
) -> None:
    def part(*_: object) -> list[str]:
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    monkeypatch.setattr(redis_hosts, "part", part)

    assert redis_hosts.main(timeout=1, unless_down=True, strict=True) == status
