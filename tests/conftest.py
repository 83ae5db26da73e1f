"""Instances of the platform for tests, each on ports and data of its own."""

import gc
import os
import warnings
from collections import Counter
from collections.abc import Generator, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from hypothesis import settings

from setup.local import ports
from setup.local.leftovers import marked_processes
from setup.local.parts.ray import SERVE_CONFIG
from setup.local.platform import EVERYTHING, Platform

STACK = os.environ.get("TAGS_TEST_STACK", "dev")
"""Of tests that name none; ``make test-mysql`` names another."""

PROMPT = {
    # An answer holds everything acknowledged before it was asked, which makes the tests strict.
    "TAGS_AGGREGATE_PROMISE_S": "0",
    # And it comes soon.
    "TAGS_ACTOR_FLUSH_INTERVAL_S": "0.2",
    "TAGS_ACTOR_FETCH_WAIT_MS": "100",
    # For the tests that read logs.
    "TAGS_LOG_FORMAT": "json",
    # Figures reach Ray's agent at once, too.
    "RAY_metrics_report_interval_ms": "1000",
}


@contextmanager
def instance(
    paths: pytest.TempPathFactory,
    environment: Mapping[str, str] | None = None,
    *,
    stack: str = STACK,
    serve_config: Path = SERVE_CONFIG,
) -> Iterator[Platform]:
    """A platform of which nothing runs yet; stopped at the end.

    Raises:
        AssertionError: a process is left behind.
    """
    platform = Platform(
        paths.mktemp("platform"),
        stack=stack,
        free=True,
        extra_environment=dict(environment or {}),
        serve_config=serve_config,
    )
    try:
        yield platform
    finally:
        platform.down()
    left = [(process.pid, process.name()) for process in marked_processes(platform.folder.root)]
    assert not left, f"processes left behind: {left}"
    platform.clean_data()


_TESTS = Path(__file__).parent
_SHARED = pytest.StashKey[ExitStack]()

TIERS = ("test", "test-all", "test-long")
"""Tiers, each a target of make; every test belongs to one."""
_TEST_ALL = ("browser", "guarded", "lengthy", "tools")
"""Folders of the second tier; elsewhere `tests.marks.second_tier` says which tests are."""
_QUICK = ("docs", "results", "unit")
_PURE_TIMEOUT_S = 5
"""Time-out (s) of a test in tests/unit without its fixtures, on a quiet machine."""
_KILL_SERVERS = frozenset(
    (
        "bulk",
        "contract",
        "faults",
        "guarded",
        "local",
        "metrics",
        "sink",
        "stores",
        "system",
        "tools",
    )
)
"""Folders whose servers are killed or stopped, which leaves clients with open connections."""
_LEAKS = ("ResourceWarning", "pytest.PytestUnraisableExceptionWarning")


@pytest.fixture(scope="session")
def platform(
    tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config
) -> Iterator[Platform]:
    """The complete running platform with both Serve applications, shared by all tests."""
    with ExitStack() as closing:
        running = closing.enter_context(instance(tmp_path_factory, PROMPT))
        pytestconfig.stash[_SHARED] = closing
        running.up(EVERYTHING)
        yield running


def pytest_addoption(parser: pytest.Parser) -> None:
    """``--tier``: see docs/testing.md."""
    parser.addoption("--tier", choices=TIERS, help="run the tests of this target of make only")


# A busy machine is not what is tested: each test's time-out bounds it.
settings.register_profile("tests", deadline=None)
settings.load_profile("tests")


def pytest_configure(config: pytest.Config) -> None:
    """Give each worker of pytest-xdist its own range of free ports."""
    worker = getattr(config, "workerinput", None)
    if worker is not None:
        number, workers = int(worker["workerid"].removeprefix("gw")), int(worker["workercount"])
        whole = ports.FREE_RANGE
        size = len(whole) // workers
        ports.FREE_RANGE = whole[number * size : (number + 1) * size]


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Skip imports of folders that only the second tier runs."""
    if config.getoption("--tier") == "test" and collection_path.parent == _TESTS:
        return collection_path.name in _TEST_ALL or None
    return None


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Time-out of a pure test, extended by the load of other processes."""
    if _folder(item) == "unit":
        crowd = os.getloadavg()[0] / (os.cpu_count() or 1)
        item.add_marker(pytest.mark.timeout(_PURE_TIMEOUT_S * max(1.0, crowd), func_only=True))
    return (yield)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave the chosen tier; those first that share the platform, which stops after them.

    Of tests of one name, such as Schemathesis makes, pytest-xdist would run one only.
    """
    for item in items:
        if _folder(item) in _KILL_SERVERS:
            for leak in _LEAKS:
                item.add_marker(pytest.mark.filterwarnings(f"ignore::{leak}"))
    items.sort(key=lambda item: (not _shares_the_platform(item), _turn(item)))
    chosen = config.getoption("--tier")
    others = [item for item in items if chosen not in (None, _tier(item))]
    if others:
        items[:] = [item for item in items if chosen == _tier(item)]
        config.hook.pytest_deselected(items=others)
    if hasattr(config, "workerinput"):
        names = Counter(item.nodeid for item in items)
        assert set(names.values()) <= {1}, f"several of one name: {names.most_common(3)}"


def _tier(item: pytest.Item) -> str:
    if item.get_closest_marker("third_tier") is not None:
        return "test-long"
    if item.get_closest_marker("second_tier") is not None or _folder(item) in _TEST_ALL:
        return "test-all"
    return "test"


def _turn(item: pytest.Item) -> int:
    """Long files first, quick ones last: two workers then end at about the same time."""
    folder = _folder(item)
    return 0 if folder == "simulation" else 2 if folder in _QUICK else 1


def _folder(test: pytest.Item | pytest.FixtureRequest) -> str:
    return test.path.relative_to(_TESTS).parts[0]


@pytest.fixture(scope="module", autouse=True)
def _collect_connections(request: pytest.FixtureRequest) -> Iterator[None]:
    """Of killed servers: else they turn up in whichever test comes next, as a leak of its own."""
    yield
    if _folder(request) in _KILL_SERVERS:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            gc.collect()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> Iterator[None]:
    """Stop the platform after the last one who shares it: idle, it takes a third of a core."""
    yield
    if nextitem is not None and not _shares_the_platform(nextitem):
        item.config.stash.get(_SHARED, ExitStack()).close()


def _shares_the_platform(item: pytest.Item) -> bool:
    # `address` of tests/contract asks for it where no other address is given.
    return not {"platform", "address"}.isdisjoint(getattr(item, "fixturenames", ()))


@pytest.fixture
def three_brokers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """Kafka alone, as the cluster stack has it, running."""
    with instance(tmp_path_factory, stack="cluster") as platform:
        platform.up(("kafka",))
        yield platform
