"""Settings: read from the environment, frozen, and silent about secrets."""

import pytest
from pydantic import ValidationError

from serve_app.core.settings import Settings


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
