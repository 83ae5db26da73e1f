"""`TAGS_…=… make up`: what reaches the applications, what is refused, and for how long it holds."""

import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from typer.testing import CliRunner

from setup.local import cli
from setup.local.callers_settings import (
    forget_settings,
    given_settings,
    store_settings,
    stored_settings,
)
from setup.local.errors import SetupError
from setup.local.leftovers import INSTANCE_MARK
from setup.local.platform import Platform

FLUSH = {"TAGS_ACTOR_FLUSH_INTERVAL_S": "1"}


def test_settings_of_all_three_classes_are_taken_and_other_variables_left_alone() -> None:
    settings = {
        **FLUSH,
        "TAGS_INGEST_LINGER_MS": "20",
        "TAGS_TOPIC_RETENTION_BYTES": "1000000",
        "TAGS_API_TOKEN": "secret",
        "TAGS_LOG_FORMAT": "json",
    }
    others = {"PATH": "/bin", "TAGS_TEST_SECONDS": "9", INSTANCE_MARK: "/x", "TAGS_COMMIT": "abc"}
    assert given_settings({**settings, **others}) == (settings, [])
    assert given_settings({"TAGS_API_TOKEN": ""}) == ({}, [])


def test_what_the_platform_itself_decides_is_ignored_and_named() -> None:
    decided = {
        "TAGS_KAFKA_BOOTSTRAP": "elsewhere:9092",
        "TAGS_MYSQL_PASSWORD": "x",
        "TAGS_REDIS_NODES": "elsewhere:1",
        "TAGS_TOPIC_PARTITIONS": "6",
    }
    timeouts = {"TAGS_REDIS_TIMEOUT_S": "0.2", "TAGS_KAFKA_REQUEST_TIMEOUT_MS": "4000"}
    assert given_settings({**decided, **timeouts}) == (timeouts, sorted(decided))


def test_a_name_that_is_no_setting_is_refused_with_the_one_that_is_meant() -> None:
    with pytest.raises(SetupError) as refused:
        given_settings({"TAGS_ACTOR_FLUSH_INTERVAL": "1", "TAGS_NO": "1", **FLUSH})
    lines = str(refused.value).splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("TAGS_ACTOR_FLUSH_INTERVAL is no setting")
    assert ", is TAGS_ACTOR_FLUSH_INTERVAL_S meant?" in lines[0]
    assert lines[1].startswith("TAGS_NO is no setting")


@pytest.mark.parametrize(
    ("name", "value", "rule"),
    [
        ("TAGS_ACTOR_FLUSH_INTERVAL_S", "0", "greater than 0"),
        ("TAGS_INGEST_MAX_WAITING", "many", "integer"),
        ("TAGS_TOPIC_RETENTION_MS", "-2", "greater than or equal to -1"),
        ("TAGS_LOG_FORMAT", "xml", "not text or json"),
        ("TAGS_API_TOKEN", "two\nlines", "line break"),
    ],
)
def test_a_bad_value_is_refused_by_name_and_rule(name: str, value: str, rule: str) -> None:
    with pytest.raises(SetupError, match=f"{name}: .*{rule}"):
        given_settings({name: value})


def test_stored_settings_are_for_their_owner_alone_and_can_be_forgotten(tmp_path: Path) -> None:
    root = tmp_path / "run"
    assert stored_settings(root) == {}
    store_settings(root, {"TAGS_API_TOKEN": "secret"})
    assert stored_settings(root) == {"TAGS_API_TOKEN": "secret"}
    (file,) = root.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    file.write_text("{")
    with pytest.raises(SetupError, match="remove it"):
        stored_settings(root)
    forget_settings(root)
    forget_settings(root)
    assert stored_settings(root) == {}


class Commands:
    """The command line on one run folder, with a platform that starts nothing."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.started: list[dict[str, str]] = []

    def run(self, command: str, **environment: str) -> str:
        ended = CliRunner().invoke(cli.app, ["--root", str(self.root), command], env=environment)
        if ended.exception and not isinstance(ended.exception, SystemExit):
            raise ended.exception
        return ended.output


@pytest.fixture
def commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Commands]:
    made = Commands(tmp_path / "run")

    def up(platform: Platform, kinds: Sequence[str] = ()) -> None:
        platform.folder.create()
        made.started.append(platform.environment())

    monkeypatch.setattr(Platform, "up", up)
    yield made
    Platform(made.root).folder.remove_link()


def test_what_up_was_told_holds_for_later_commands_until_down(commands: Commands) -> None:
    commands.run("up", **FLUSH)
    commands.run("up", TAGS_INGEST_LINGER_MS="20")
    assert commands.started[-1].items() >= {**FLUSH, "TAGS_INGEST_LINGER_MS": "20"}.items()
    # Prometheus is started beside it, with nothing changed for the rest.
    commands.run("metrics")
    assert commands.started[-1] == commands.started[-2]
    shown = commands.run("env", TAGS_ACTOR_FLUSH_INTERVAL_S="7")
    assert "export TAGS_ACTOR_FLUSH_INTERVAL_S=1\n" in shown
    commands.run("down")
    assert "TAGS_ACTOR_FLUSH_INTERVAL_S" not in commands.run("env")


def test_fresh_begins_with_the_callers_settings_alone(commands: Commands) -> None:
    commands.run("fresh", **FLUSH)
    commands.run("fresh", TAGS_INGEST_LINGER_MS="20")
    assert "TAGS_ACTOR_FLUSH_INTERVAL_S" not in commands.started[-1]
    assert commands.started[-1]["TAGS_INGEST_LINGER_MS"] == "20"


def test_fresh_refuses_a_setting_before_it_removes_data(commands: Commands) -> None:
    commands.run("fresh")
    kept = commands.root / "data" / "kept"
    kept.touch()
    with pytest.raises(SetupError, match="TAGS_NO is no setting"):
        commands.run("fresh", TAGS_NO="1")
    assert kept.exists()


def test_an_address_in_the_callers_environment_is_said_to_be_ignored(commands: Commands) -> None:
    assert "TAGS_REDIS_NODES is ignored" in commands.run("up", TAGS_REDIS_NODES="elsewhere:1")
    assert "elsewhere" not in commands.started[-1]["TAGS_REDIS_NODES"]


def test_a_platform_of_tests_takes_nothing_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TAGS_ACTOR_FLUSH_INTERVAL_S", "7")
    platform = Platform(tmp_path / "run", free=True)
    platform.folder.create()
    try:
        assert "TAGS_ACTOR_FLUSH_INTERVAL_S" not in platform.environment()
    finally:
        platform.folder.remove_link()
