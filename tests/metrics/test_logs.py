"""Logs are JSON when asked for, and name the request that a line is about."""

import json
import uuid
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer

from serve_app.core.names import USER_TAGS_TOPIC
from setup.local.errors import SetupError
from setup.local.platform import Platform
from tests.waiting import eventually


def lines(platform: Platform) -> list[dict[str, Any]]:
    """Lines of all replicas, without those printed before logging was set up."""
    folder = platform.ray.temp_dir / "session_latest" / "logs" / "serve"
    texts = [line for file in folder.glob("replica_*.log") for line in read(file)]
    return [json.loads(text) for text in texts if text.startswith("{")]


def read(file: Path) -> list[str]:
    text = file.read_text()
    # The last line may be incomplete.
    return text[: text.rfind("\n") + 1].splitlines()


async def test_an_actors_line_names_the_request(platform: Platform) -> None:
    mine = uuid.uuid4().hex
    bootstrap = platform.environment()["TAGS_KAFKA_BOOTSTRAP"]
    async with AIOKafkaProducer(bootstrap_servers=bootstrap) as producer:
        headers = [("request_id", mine.encode())]
        await producer.send_and_wait(USER_TAGS_TOPIC, b"no tag", headers=headers)

    async def logged() -> bool:
        return any(line.get("request_id") == mine for line in lines(platform))

    await eventually(logged)
    (line,) = [line for line in lines(platform) if line.get("request_id") == mine]
    assert line["levelname"] == "WARNING"
    assert "dead_letters" in line["message"]
    assert line["deployment"].startswith("case3")


def test_case12_has_our_lines_from_info_on_and_serves_above(platform: Platform) -> None:
    def messages(application: str) -> list[str]:
        of = [line for line in lines(platform) if line["deployment"].startswith(application)]
        return [line["message"] for line in of]

    assert any(text.startswith("settings of user_config") for text in messages("case12"))
    # At INFO Serve makes a record of each request, too, and drops it.
    assert any(text.startswith("Started initializing") for text in messages("case3"))
    assert not any(text.startswith("Started initializing") for text in messages("case12"))


def test_text_is_the_default_and_anything_else_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    platform = Platform(tmp_path, free=True)
    # For the database's password, which Ray's settings hold; a link to the folder is not needed.
    platform.folder.create()
    platform.folder.remove_link()
    head = platform.ray
    monkeypatch.delenv("TAGS_LOG_FORMAT", raising=False)
    assert "encoding: TEXT" in head.serve_text()
    monkeypatch.setenv("TAGS_LOG_FORMAT", "json")
    assert head.serve_text().count("encoding: JSON") == head.serve_text().count("logging_config:")
    monkeypatch.setenv("TAGS_LOG_FORMAT", "xml")
    with pytest.raises(SetupError, match="TAGS_LOG_FORMAT=xml"):
        head.serve_text()
