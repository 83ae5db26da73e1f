"""No kept row is left without its name, in whatever order actors count and names leave.

The server is a model of what ``dictionary``, ``retired_names`` and the flush do in one transaction
each; what an actor knows is the real thing. Between any two steps of one actor, others act.
"""

from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from actors.aggregates.batch import Name
from actors.aggregates.leases import Leases

NAMES = st.sampled_from([(1, "a"), (2, "a")])
WANTED = st.dictionaries(NAMES, st.integers(0, 4), min_size=1)
ACTORS = st.integers(0, 1)


@given(st.lists(st.tuples(NAMES, st.integers(1, 9), st.integers(0, 6))), WANTED)
def test_an_id_is_used_up_to_its_hour(
    learnt: list[tuple[Name, int, int]], wanted: dict[Name, int]
) -> None:
    leases, newest = Leases(), {}
    for name, number, until_hour in learnt:
        leases.learn(name, number, until_hour)
        newest[name] = number, until_hour
    lacking = leases.lacking(wanted)
    for name, hour in wanted.items():
        assert (name in lacking) == (name not in newest or newest[name][1] < hour)
    assert leases.ids(wanted, 0) == {name: newest.get(name, (0, 0))[0] for name in wanted}
    leases.forget_before(3)
    assert len(leases) == sum(until >= 3 for _, until in newest.values())
    leases.forget()
    assert leases.lacking(wanted) == wanted


@dataclass
class Tables:
    """Live ones, or those that a rebuild fills."""

    bound: int = 0
    rows: set[tuple[Name, int, int]] = field(default_factory=set)
    """(name that was meant, id, hour)."""


@dataclass
class Actor:
    """A sink between its steps: what it knows, and the flush under way."""

    leases: Leases = field(default_factory=Leases)
    bound: int = 0
    flush: dict[Name, int] | None = None
    ids: dict[Name, int] = field(default_factory=dict)


class Histories(RuleBasedStateMachine):
    """`tests/simulation/test_lease_rules.py` leaves out each rule in turn."""

    asks_again = True
    """An id is good up to the hour of its lease only."""
    raises_beside = True
    """Names leave only after the tables of a rebuild keep no more than the live ones."""
    claims_live_bound = True
    """A rebuild keeps no more than the live tables from its begin."""

    def __init__(self) -> None:
        super().__init__()
        self.until: dict[Name, tuple[int, int]] = {}
        """Name → (id, until_hour)."""
        self.next_id = 1
        self.tables = [Tables(), Tables()]
        """Live, and of a rebuild."""
        self.actors = [Actor(), Actor()]

    @rule(actor=ACTORS, wanted=WANTED)
    def begin_flush(self, actor: int, wanted: dict[Name, int]) -> None:
        one = self.actors[actor]
        kept = {name: hour for name, hour in wanted.items() if hour >= one.bound}
        lacking = one.leases.lacking(kept)
        if not self.asks_again:
            lacking = {
                name: hour for name, hour in kept.items() if not one.leases.ids([name], 0)[name]
            }
        for name, hour in lacking.items():
            if name not in self.until:
                self.until[name] = self.next_id, hour
                self.next_id += 1
            number, until = self.until[name]
            self.until[name] = number, max(until, hour)
            one.leases.learn(name, *self.until[name])
        one.flush, one.ids = kept, one.leases.ids(kept, 0)

    @rule(actor=ACTORS)
    def end_flush(self, actor: int) -> None:
        one, tables = self.actors[actor], self.tables[actor]
        if one.flush is not None and one.bound == tables.bound:
            tables.rows |= {(name, one.ids[name], hour) for name, hour in one.flush.items()}
        one.flush, one.bound = None, tables.bound
        one.leases.forget_before(one.bound)

    @rule(hours=st.integers(1, 2))
    def drop_hours(self, hours: int) -> None:
        self.tables[0].bound += hours

    @rule()
    def retire(self) -> None:
        live, beside = self.tables
        if self.raises_beside:
            beside.bound = max(beside.bound, live.bound)
        self.until = {name: lease for name, lease in self.until.items() if lease[1] >= live.bound}

    @rule()
    def begin_rebuild(self) -> None:
        self.tables[1] = Tables(self.tables[0].bound if self.claims_live_bound else 0)
        self.actors[1] = Actor(bound=self.tables[1].bound)

    @precondition(lambda self: self.tables[1].rows)
    @rule()
    def swap(self) -> None:
        self.tables = [self.tables[1], Tables(self.tables[1].bound)]
        self.actors = [Actor(bound=self.tables[1].bound) for _ in range(2)]

    @invariant()
    def every_kept_row_has_its_name(self) -> None:
        for tables in self.tables:
            for name, number, hour in tables.rows:
                if hour >= tables.bound:
                    assert self.until.get(name, (None,))[0] == number


FEW = settings(max_examples=40, stateful_step_count=30, deadline=None, database=None)


def test_histories() -> None:
    run_state_machine_as_test(Histories, settings=FEW)
