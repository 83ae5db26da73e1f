"""What the caller's environment sets: ``TAGS_ACTOR_FLUSH_INTERVAL_S=1 make up``.

It is kept in the run folder until ``make down``, so that later commands (status, rebuild, metrics)
see what the platform was started with, and need not name it again. A name that is no setting is
refused, because it would do nothing.
"""

import json
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Final

from pydantic import ValidationError
from pydantic_settings import BaseSettings

from actors.settings import ActorSettings
from serve_app.core.settings import Settings
from setup.local.errors import SetupError
from setup.local.leftovers import INSTANCE_MARK, PART_MARK
from setup.topics import TopicSettings

_PREFIX: Final = "TAGS_"
_CLASSES: Final[tuple[type[BaseSettings], ...]] = (Settings, ActorSettings, TopicSettings)
# Where the stores are, and how to get in, the platform decides; and Serve's config how many actors
# there are for the topic's partitions.
_DECIDED_HERE: Final = frozenset(
    f"{_PREFIX}{name.upper()}"
    for name in Settings.model_fields
    if name.startswith(("kafka_", "redis_", "mysql_"))
    and name not in ("kafka_request_timeout_ms", "redis_timeout_s")
) | {"TAGS_TOPIC_PARTITIONS"}
_LOG_FORMAT: Final = "TAGS_LOG_FORMAT"
_LOG_FORMATS: Final = ("text", "json")
# Of this program itself, of an image, and of the tests.
_OTHERS: Final = frozenset({INSTANCE_MARK, PART_MARK, "TAGS_COMMIT"})
_OF_TESTS: Final = "TAGS_TEST_"
_STORED: Final = "settings.json"


def given_settings(environment: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """The caller's settings, and the names of those that are ignored: the platform decides them.

    SetupError names each variable that is no setting, or whose value breaks a rule.
    """
    named = {
        name: value
        for name, value in environment.items()
        if name.startswith(_PREFIX) and not name.startswith(_OF_TESTS) and name not in _OTHERS
    }
    own = {_variable(kind, field) for kind in _CLASSES for field in kind.model_fields}
    own.add(_LOG_FORMAT)
    unknown = sorted(named.keys() - own)
    if unknown:
        raise SetupError("\n".join(_refusal(name, own) for name in unknown))
    # An empty token is no token, as elsewhere.
    given = {
        name: value
        for name, value in named.items()
        if name not in _DECIDED_HERE and (value or name != "TAGS_API_TOKEN")
    }
    _check(given)
    return given, sorted(named.keys() & _DECIDED_HERE)


def stored_settings(root: Path) -> dict[str, str]:
    """What the platform of this run folder was started with; empty after `forget_settings`."""
    try:
        stored: dict[str, str] = json.loads((root / _STORED).read_text())
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise SetupError(f"{root / _STORED} cannot be read ({error}); remove it") from None
    return stored


def store_settings(root: Path, settings: Mapping[str, str]) -> None:
    """Remember them, readable by their owner only: the token is one of them."""
    root.mkdir(parents=True, exist_ok=True)
    file = root / _STORED
    file.touch(mode=0o600)
    file.write_text(json.dumps(settings, indent=1))


def forget_settings(root: Path) -> None:
    """The next start uses the defaults again."""
    (root / _STORED).unlink(missing_ok=True)


def _variable(kind: type[BaseSettings], field: str) -> str:
    return f"{kind.model_config.get('env_prefix', '')}{field}".upper()


def _refusal(name: str, own: set[str]) -> str:
    close = get_close_matches(name, sorted(own), 1)
    meant = f", is {close[0]} meant?" if close else ""
    return f"{name} is no setting{meant}; docs/configuration.md lists all"


def _check(given: Mapping[str, str]) -> None:
    problems = [f"{name}: has a line break" for name, value in given.items() if "\n" in value]
    if given.get(_LOG_FORMAT, "text") not in _LOG_FORMATS:
        problems.append(f"{_LOG_FORMAT}: not {' or '.join(_LOG_FORMATS)}")
    for kind in _CLASSES:
        values = {
            field: given[_variable(kind, field)]
            for field in kind.model_fields
            if _variable(kind, field) in given
        }
        try:
            kind.model_validate(values)
        except ValidationError as error:
            problems += [
                f"{_variable(kind, str(one['loc'][0]))}: {one['msg']}" for one in error.errors()
            ]
    if problems:
        raise SetupError("\n".join(problems))
