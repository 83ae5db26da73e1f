"""The job that makes database and user."""

import pytest

from serve_app.core.settings import Settings
from setup.kubernetes import mysql_account


def test_every_statement_can_run_twice() -> None:
    made = mysql_account.statements(Settings(mysql_user="tags", mysql_database="user_tags"))

    texts = [text for text, _ in made]
    assert all("IF NOT EXISTS" in text for text in texts if text.startswith("CREATE"))
    assert texts[-1].startswith("GRANT SELECT")


def test_names_are_quoted_and_passwords_are_parameters() -> None:
    wanted = Settings(mysql_database="a`b", mysql_password="s3cret")

    made = mysql_account.statements(wanted)

    assert "`a``b`" in made[0][0]
    assert not any("s3cret" in text for text, _ in made)
    assert ("tags", "s3cret") in [tuple(parameters) for _, parameters in made]


def test_statements_survive_parameter_formatting() -> None:
    for text, parameters in mysql_account.statements(Settings()):
        if parameters:
            assert "'%'" in text % tuple(repr(value) for value in parameters)


def test_without_passwords_it_says_which(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("MYSQL_ROOT_PASSWORD", raising=False)
    monkeypatch.setattr("sys.argv", ["mysql_account"])

    assert mysql_account.main() == 1
    assert "MYSQL_ROOT_PASSWORD" in capsys.readouterr().err
