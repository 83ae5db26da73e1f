"""What a week through the stores is judged by, and what is left of one that ends early."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.bench import week as bench
from tests.bench.week import BUSIEST, Day, NoRoomError, Week, check_room, check_tables, record
from tests.results.recording import FOLDER_VARIABLE, Recording
from tests.results.render import load_all
from tests.results.result import Result

GIB = 2**30
EMPTY = {"mariadb": GIB, "kafka": 0, "redis": 0}


def day(number: int, **changes: Any) -> Day:
    figures: dict[str, Any] = {
        **{"seconds": 60.0, "rows": 7_000, "table_partitions": 60, "names": 1_500},
        **{"redis_bytes": 9, "redis_keys": 5, "full": dict(BUSIEST), "wrong": []},
        "disk_bytes": {"mariadb": 2 * GIB, "kafka": number * GIB, "redis": GIB},
        **changes,
    }
    return Day(number, **figures)


@pytest.fixture
def recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Week], Result]:
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))

    def recorded(week: Week) -> Result:
        kept = record(week, Recording("week", additions=10))
        result = load_all(tmp_path)["week"]
        assert kept == (result.verdict == "kept")
        return result

    return recorded


def missed(result: Result) -> set[str]:
    return {bound.figure.split()[0] for bound in result.bounds if not bound.kept}


def full_week(**changes: Any) -> Week:
    days = [day(number) for number in range(1, 7)]
    return Week(7, EMPTY, [*days, day(7, **changes)])


def test_a_week_of_equal_days_is_kept(recorded: Callable[[Week], Result]) -> None:
    result = recorded(full_week())
    assert result.verdict == "kept"
    assert result.headline.startswith("7 days of event time")
    assert result.note == ""


def test_an_empty_server_hides_no_growth(recorded: Callable[[Week], Result]) -> None:
    disk = {"mariadb": int(2.3 * GIB), "kafka": 7 * GIB, "redis": GIB}
    result = recorded(full_week(disk_bytes=disk))
    assert result.figures["mariadb on disk, last day by second"] == 1.3
    assert missed(result) == {"mariadb"}


@pytest.mark.parametrize("action", BUSIEST)
def test_busy_cookies_must_be_full_after_a_week(
    recorded: Callable[[Week], Result], action: str
) -> None:
    few = {**BUSIEST, action: int(0.8 * BUSIEST[action])}
    assert missed(recorded(full_week(full=few))) == {"share"}
    # A shorter run cannot fill them.
    assert recorded(Week(2, EMPTY, [day(1), day(2, full=few)])).verdict == "kept"


def test_a_sample_without_rows_is_none() -> None:
    both = {"aggregates": 1, "rollups": 1}
    check_tables(1, both, {"origin": 1})
    for rows, names in (
        ({}, {}),
        ({**both, "rollups": 0}, {"origin": 1}),
        ({"rollups": 1}, {"origin": 1}),
        (both, {}),
    ):
        with pytest.raises(RuntimeError, match="day 1: no "):
            check_tables(1, rows, names)


def test_a_day_needs_half_more_room_than_the_biggest_took() -> None:
    week = Week(7, EMPTY)
    check_room(week, 2 * GIB)
    with pytest.raises(NoRoomError, match="day 1 may take"):
        check_room(week, GIB)
    # The first one took 3 GiB, the second 1.
    week.days = [day(1), day(2)]
    check_room(week, int(4.5 * GIB))
    with pytest.raises(NoRoomError, match=r"day 3 may take 4\.5 GiB, and the disk has 4\.0"):
        check_room(week, 4 * GIB)


def ending(how: BaseException | None, monkeypatch: pytest.MonkeyPatch) -> Week:
    """A week whose third day ends like this."""

    @contextmanager
    def platform() -> Iterator[object]:
        yield SimpleNamespace(folder=SimpleNamespace(root="/"))

    def do_day(_: object, number: int) -> Day:
        if how is not None and number == 3:
            raise how
        return day(number)

    monkeypatch.setattr(bench, "platform", platform)
    monkeypatch.setattr(bench, "do_day", do_day)
    monkeypatch.setattr(bench, "stores_bytes", lambda made: EMPTY)
    free = SimpleNamespace(free=100 * GIB)
    monkeypatch.setattr("shutil.disk_usage", lambda root: free)
    week = Week(7)
    bench.do_week(week)
    return week


@pytest.mark.parametrize(
    ("how", "told"),
    [
        (KeyboardInterrupt(), "interrupted"),
        (RuntimeError("day 3: stuck"), "RuntimeError: day 3: stuck"),
        (NoRoomError("day 3 may take 9 GiB"), "day 3 may take 9 GiB"),
    ],
)
def test_days_before_one_that_fails_have_a_result(
    recorded: Callable[[Week], Result],
    monkeypatch: pytest.MonkeyPatch,
    how: BaseException,
    told: str,
) -> None:
    result = recorded(ending(how, monkeypatch))
    assert result.headline.startswith("2 of 7 days of event time")
    assert result.note == f"Ended early: {told}."
    assert missed(result) == {"days"}


def test_a_week_that_is_done_did_not_end_early(monkeypatch: pytest.MonkeyPatch) -> None:
    week = ending(None, monkeypatch)
    assert (len(week.days), week.ended) == (7, "")
