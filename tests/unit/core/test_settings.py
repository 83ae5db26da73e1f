"""Settings: read from the environment, frozen, and silent about secrets."""

import pytest
from pydantic import ValidationError

from serve_app.core.settings import LIVE, Settings, with_live


def test_variables_set_fields(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAGS_INGEST_MAX_WAITING", "7")
    monkeypatch.setenv("TAGS_REDIS_NODES", "a:1,b:2")
    settings = Settings()
    assert settings.ingest_max_waiting == 7
    assert settings.redis_nodes == "a:1,b:2"


def test_the_promise_is_the_contracts_minute_unless_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TAGS_AGGREGATE_PROMISE_S", raising=False)
    assert Settings().aggregate_promise_s == 60


@pytest.mark.parametrize("name", ["kafka_password", "redis_password", "mysql_password"])
def test_secrets_are_masked(name: str) -> None:
    settings = Settings.model_validate({name: "hunter2"})
    assert "hunter2" not in repr(settings)
    assert "hunter2" not in settings.model_dump_json()


def test_settings_do_not_change() -> None:
    with pytest.raises(ValidationError):
        setattr(Settings(), "mysql_port", 1)  # noqa: B010 - what mypy would not let pass


def test_nonsense_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAGS_REDIS_TIMEOUT_S", "0")
    with pytest.raises(ValidationError, match="redis_timeout_s"):
        Settings()


def test_live_settings_change_and_all_others_stay() -> None:
    base = Settings(mysql_port=3_000, ingest_linger_ms=5)
    changed = with_live(base, {"ingest_linger_ms": 7, "profile_timeout_s": 0.5})
    assert changed == base.model_copy(update={"ingest_linger_ms": 7.0, "profile_timeout_s": 0.5})
    assert with_live(base, None) == with_live(base, {}) == base


def test_every_live_setting_is_a_setting() -> None:
    assert Settings.model_fields.keys() >= LIVE


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"kafka_bootstrap": "elsewhere:1"}, "kafka_bootstrap cannot change live"),
        ({"ingest_lingerms": 1}, "ingest_lingerms cannot change live"),
        ({"ingest_max_waiting": 0}, "ingest_max_waiting: .*greater than or equal to 1"),
        ({"ingest_linger_ms": "soon"}, "ingest_linger_ms: .*valid number"),
    ],
)
def test_what_cannot_change_live_is_refused_by_name(changes: dict[str, object], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        with_live(Settings(), changes)
