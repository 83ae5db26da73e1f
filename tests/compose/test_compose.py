"""setup/compose/compose.yaml: what the Compose specification says, and what the platform needs.

Its services are run by test_run.py.
"""

import re
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from kuberay.render import CHECKOUT
from serve_app.core.settings import Settings
from setup.topics import TopicSettings
from tests.kuberay.manifests import containers, rendered

FILE = CHECKOUT / "setup" / "compose" / "compose.yaml"
PLATFORM_IMAGE = "user-tags:0.1.0"


@pytest.fixture
def content() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(FILE.read_text())
    return loaded


def services(content: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    yield from content["services"].items()


def script(service: dict[str, Any]) -> str:
    """The last word of the command, as the container sees it: ``$$`` is a dollar for Compose."""
    text: str = service["command"][-1]
    assert not re.search(r"(?<!\$)\$(?!\$)", text), "Compose would put a variable of its own here"
    return text.replace("$$", "$")


def test_it_is_what_the_specification_allows(content: dict[str, Any]) -> None:
    compose_spec = pytest.importorskip("compose_spec")

    compose_spec.PyCompose.from_yaml(yaml.safe_dump(content)).validate()


def test_the_specification_bites(content: dict[str, Any]) -> None:
    compose_spec = pytest.importorskip("compose_spec")
    content["services"]["ray"]["helthcheck"] = content["services"]["ray"].pop("healthcheck")

    with pytest.raises(ValueError, match="helthcheck"):
        compose_spec.PyCompose.from_yaml(yaml.safe_dump(content))


def test_settings_are_settings(content: dict[str, Any]) -> None:
    """A misspelt variable would silently keep its default."""
    fields = {f"TAGS_{name.upper()}" for name in Settings.model_fields}
    fields |= {f"TAGS_TOPIC_{name.upper()}" for name in TopicSettings.model_fields}
    for name, service in services(content):
        given = {key for key in service.get("environment", {}) if key.startswith("TAGS_")}
        exported = set(re.findall(r"export (\w+)=", str(service.get("command"))))
        assert given | exported <= fields, name


def test_addresses_are_services_that_are_waited_for(content: dict[str, Any]) -> None:
    for name in ("prepare", "ray"):
        service = content["services"][name]
        environment = service["environment"]
        hosts = {
            environment["TAGS_KAFKA_BOOTSTRAP"].partition(":")[0],
            environment["TAGS_REDIS_NODES"].partition(":")[0],
            environment["TAGS_MYSQL_HOST"],
        }
        healthy = {
            other
            for other, how in service["depends_on"].items()
            if how["condition"] == "service_healthy"
        }
        assert hosts <= healthy
        assert all("healthcheck" in content["services"][host] for host in hosts)


def test_scripts_are_shell(content: dict[str, Any]) -> None:
    for name, service in services(content):
        if str(service.get("command", [""])[0]).startswith("/bin/"):
            shell = service["command"][0]
            checked = subprocess.run([shell, "-n"], input=script(service), text=True, check=False)
            assert checked.returncode == 0, name


def test_nothing_is_open_to_other_hosts(content: dict[str, Any]) -> None:
    published = [port for _, service in services(content) for port in service.get("ports", [])]

    assert published
    assert all(port.startswith("127.0.0.1:") for port in published)


def test_no_password_is_written_down(content: dict[str, Any]) -> None:
    for name, service in services(content):
        for variable, value in service.get("environment", {}).items():
            assert "PASSWORD" not in variable or variable.endswith("_FILE"), (name, variable, value)


def test_images_are_those_of_kubernetes(content: dict[str, Any]) -> None:
    """One version of each to look after."""
    there = {container["image"] for _, container in containers(rendered("plain"))}

    assert {service["image"] for _, service in services(content)} <= there
    assert PLATFORM_IMAGE in there


def test_files_that_it_mounts_exist(content: dict[str, Any]) -> None:
    for _, service in services(content):
        mounts = [mount.split(":")[0] for mount in service.get("volumes", [])]
        files = [mount for mount in mounts if mount.startswith(".")] + service.get("env_file", [])
        for file in files:
            assert (FILE.parent / file).is_file(), file
