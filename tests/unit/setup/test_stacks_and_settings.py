"""Profiles are data: what is rendered follows from their numbers."""

import dataclasses
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from ray.serve._private.build_app import build_app

from actors import app as case3
from serve_app import app as case12
from serve_app.core.names import CASE3_APP, CASE3_ROUTE, CASE12_APP
from serve_app.core.settings import Settings
from setup.local.catalogue import Catalogue
from setup.local.errors import SetupError
from setup.local.folder import RunFolder
from setup.local.leftovers import INSTANCE_MARK
from setup.local.parts.ray import SERVE_CONFIG
from setup.local.ports import load_ports
from setup.local.stacks import STACKS, Stack, stack_named


@pytest.fixture(autouse=True)
def folder(tmp_path: Path) -> Iterator[RunFolder]:
    folder = RunFolder(tmp_path)
    folder.create()
    yield folder
    folder.remove_link()


def catalogue(tmp_path: Path, stack: Stack) -> Catalogue:
    folder = RunFolder(tmp_path)
    return Catalogue(folder, stack, load_ports(tmp_path), SERVE_CONFIG, {"TAGS_X": "1"})


def test_a_part_for_each_number_of_the_profile(tmp_path: Path) -> None:
    names = [part.name for part in catalogue(tmp_path, STACKS["dev"]).parts]
    stores = ["redis-1", "redis-2", "redis-3", "kafka-1", "mariadb-1"]
    assert names == [*stores, "ray"]
    names = [part.name for part in catalogue(tmp_path, STACKS["cluster"]).parts]
    assert [n for n in names if n.startswith("redis")][-1] == "redis-6"
    assert [n for n in names if n.startswith("kafka")][-1] == "kafka-3"
    assert names[-6:] == [
        *("mariadb-1", "mariadb-2", "mariadb-3", "mariadb-watch", "mariadb-address", "ray")
    ]
    names = [part.name for part in catalogue(tmp_path, STACKS["mysql"]).parts]
    assert names == [*stores[:-1], "mysql-1", "ray"]


def test_every_template_fills_in_and_no_two_parts_share_a_port(tmp_path: Path) -> None:
    built = catalogue(tmp_path, STACKS["cluster"])
    parts = [*built.parts, *built.extras]
    for part in parts:
        for text in part.files().values():
            # Prometheus' rules have dollars of their own, and are no template.
            assert "$" not in text.replace("{{ $labels.", "")
    ports = [port for part in parts for port in part.ports.values()]
    assert len(ports) == len(set(ports))


def test_kafka_gets_replication_and_voters_from_the_profile(tmp_path: Path) -> None:
    broker = catalogue(tmp_path, STACKS["cluster"]).kafka[1]
    (text,) = broker.files().values()
    assert "node.id=2" in text
    assert "min.insync.replicas=2" in text
    assert text.count("@127.0.0.1:") == 3


def test_a_profile_that_does_not_exist_is_refused_with_those_that_do() -> None:
    with pytest.raises(SetupError, match="there are: dev, cluster"):
        stack_named("nope")
    unknown = dataclasses.replace(STACKS["dev"], redis_replicas_per_master=2)
    assert unknown.redis_nodes == 9


def versions_of(deployment: dict[str, Any]) -> dict[str, str]:
    """The environment in which a deployment of a Serve config says its version."""
    variables: dict[str, str] = deployment["ray_actor_options"]["runtime_env"]["env_vars"]
    return variables


def test_every_deployment_that_the_applications_build_is_in_the_serve_config() -> None:
    """One that is missing would keep its old code when a new version is deployed."""
    applications = yaml.safe_load(SERVE_CONFIG.read_text())["applications"]
    listed = {a["name"]: [one["name"] for one in a["deployments"]] for a in applications}
    arguments = {a["name"]: a["args"] for a in applications}
    assert all(versions_of(one) for a in applications for one in a["deployments"])
    built = {
        CASE12_APP: case12.build(arguments[CASE12_APP]),
        CASE3_APP: case3.build(case3.Case3Args(**arguments[CASE3_APP])),
    }
    for name, application in built.items():
        deployments = build_app(application, name=name).deployments
        assert sorted(one.name for one in deployments) == sorted(listed[name])


def test_serve_config_names_both_applications_and_local_rendering_moves_it_to_loopback(
    tmp_path: Path,
) -> None:
    committed = yaml.safe_load(SERVE_CONFIG.read_text())
    rendered = yaml.safe_load(catalogue(tmp_path, STACKS["dev"]).ray.serve_text())
    assert {a["name"]: a["route_prefix"] for a in rendered["applications"]} == {
        CASE12_APP: "/",
        CASE3_APP: CASE3_ROUTE,
    }
    assert rendered["http_options"]["host"] == "127.0.0.1"
    logging = [one["logging_config"] for one in (rendered, *rendered["applications"][:1])]
    assert [one.pop("encoding") for one in logging] == ["TEXT", "TEXT"]
    for application in rendered["applications"]:
        # Hashes of the code, so that other code is another version; and how processes start.
        assert len(application["args"]["version"]) == 12
        application["args"]["version"] = ""
        versions = [versions_of(one) for one in application["deployments"]]
        assert {len(one["CODE_VERSION"]) for one in versions} == {12}
        for one in versions:
            one["CODE_VERSION"] = ""
        start = application.pop("runtime_env")["py_executable"].removeprefix("nice -n 10 ")
        staggered_start, stagger_file, python = start.split()
        assert Path(staggered_start).name == "staggered_start"
        assert not Path(stagger_file).exists()
        assert python == sys.executable
    assert rendered["applications"] == committed["applications"]


def test_ray_is_told_of_the_stores_and_the_password_stays_in_closed_files(tmp_path: Path) -> None:
    built = catalogue(tmp_path, STACKS["dev"])
    (text,) = built.ray.files().values()
    secret = built.mariadb[0].password
    assert f"TAGS_MYSQL_PASSWORD={secret}" in text
    assert "TAGS_X=1" in text
    assert (tmp_path / "secrets" / "mysql_password").stat().st_mode & 0o777 == 0o600
    assert secret == catalogue(tmp_path, STACKS["dev"]).mariadb[0].password


def test_the_mark_of_an_instance_is_no_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(INSTANCE_MARK, "/somewhere")
    Settings()
