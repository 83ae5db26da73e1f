"""Runs a callback at a given point of a flush: between any two statements, around the COMMIT.

Points, in order: ``update``, ``updated``, ``insert1``, ``insert2``, … (before the n-th INSERT),
``commit`` (before it) and ``committed`` (after the server did it, before the client knows).
"""

from collections.abc import Callable
from typing import Any

from sqlalchemy import event

from actors.aggregates.database import Database


def at_point(database: Database, point: str, act: Callable[[], None]) -> None:
    """Call ``act`` once, the first time that a flush of ``database`` reaches ``point``."""
    engine = database.engine.sync_engine
    state = {"flush": False, "inserts": 0, "left": 1}

    def reach(name: str) -> None:
        if name == point and state["left"]:
            state["left"] = 0
            act()

    @event.listens_for(engine, "before_cursor_execute")
    def before(_c: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if statement.startswith("UPDATE partition_offsets"):
            state.update(flush=True, inserts=0)
            reach("update")
        elif state["flush"] and statement.startswith("INSERT"):
            state["inserts"] += 1
            reach(f"insert{state['inserts']}")

    @event.listens_for(engine, "after_cursor_execute")
    def after(_c: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if statement.startswith("UPDATE partition_offsets"):
            reach("updated")

    @event.listens_for(engine, "rollback")
    def rollback(_c: Any) -> None:
        state["flush"] = False

    commit = engine.dialect.do_commit

    def do_commit(connection: Any) -> None:
        flush, state["flush"] = state["flush"], False
        if flush:
            reach("commit")
        commit(connection)
        if flush:
            reach("committed")

    engine.dialect.do_commit = do_commit  # type: ignore[method-assign, assignment]


def before_statement(database: Database, start: str, act: Callable[[], None]) -> None:
    """Call ``act`` whenever ``database`` is about to run a statement that starts so."""

    @event.listens_for(database.engine.sync_engine, "before_cursor_execute")
    def before(_c: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if statement.startswith(start):
            act()
