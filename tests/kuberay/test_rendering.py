"""Manifests and their sources in setup/ agree; every overlay builds."""

import os
from pathlib import Path

import pytest
import yaml

from kuberay.render import (
    CHECKOUT,
    DOUBLED,
    IMAGE_CHECKOUT,
    LOCAL_RAY,
    deployments,
    ray_environment,
    ray_service_patch,
    redis_common,
    rendered_files,
    stale_files,
)
from tests.kuberay.manifests import OVERLAYS, named, rendered
from tests.kuberay.rules.ray_service import OF_SEVERAL

SERVE_CONFIG = CHECKOUT / "setup" / "serve_config.yaml"


def test_committed_files_agree_with_their_sources() -> None:
    stale = stale_files(CHECKOUT)

    assert not stale, f"run python -m kuberay.render: {list(map(str, stale))}"


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_ray_service_has_the_serve_config_of_make_up(overlay: str) -> None:
    service = named(rendered(overlay), "RayService/user-tags")
    source = yaml.safe_load(SERVE_CONFIG.read_text())

    config = yaml.safe_load(service["spec"]["serveConfigV2"])

    # All that differs: there is more than one node to spread over.
    for deployment in deployments(config):
        if not deployment.pop("max_replicas_per_node", None):
            continue
        if DOUBLED.fullmatch(deployment["name"]):
            assert deployment.pop("num_replicas") == 2
        else:
            assert deployment["max_surge_percent"] == 0
            deployment["max_surge_percent"] = deployments(source)[0]["max_surge_percent"]
    assert config == source


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_ray_pods_have_the_local_environment(overlay: str) -> None:
    maps = [d for d in rendered(overlay) if d["kind"] == "ConfigMap"]
    data = next(d["data"] for d in maps if d["metadata"]["name"].startswith("ray-environment"))
    # Of several workers: rules workers_end_in_time and requests_need_no_single_host.
    data = {name: value for name, value in data.items() if name not in OF_SEVERAL}
    local = (CHECKOUT / "setup" / "local" / "conf" / "ray.env").read_text()
    local = local.replace("$checkout", IMAGE_CHECKOUT)
    lines = dict(line.split("=", 1) for line in local.splitlines() if line and line[0] != "#")

    assert data == {
        name: value for name, value in lines.items() if "$" not in value and name not in LOCAL_RAY
    }
    assert data["RAY_SERVE_ENABLE_HA_PROXY"] == "1"


def test_the_ingress_of_the_pods_is_the_one_of_make_up_and_is_in_the_image() -> None:
    environment = (CHECKOUT / "kuberay" / "base" / "app" / "ray.env").read_text()
    assert f"RAY_SERVE_HAPROXY_BINARY_PATH={IMAGE_CHECKOUT}/setup/ingress/haproxy\n" in environment
    assert os.access(CHECKOUT / "setup" / "ingress" / "haproxy", os.X_OK)
    dockerfile = (CHECKOUT / "kuberay" / "Dockerfile").read_text()
    assert f"COPY --chown=root:root setup {IMAGE_CHECKOUT}/setup\n" in dockerfile
    # It runs `python3 -m setup.ingress`, which may need nothing that the image leaves out.
    assert f"PYTHONPATH={IMAGE_CHECKOUT}" in dockerfile
    ignored = (CHECKOUT / "kuberay" / "Dockerfile.dockerignore").read_text().split()
    assert "setup/ingress" not in ignored
    for file in (CHECKOUT / "setup" / "ingress").glob("*.py"):
        assert "setup.local" not in file.read_text()


def test_a_changed_source_is_noticed(tmp_path: Path) -> None:
    for name in (
        "setup/serve_config.yaml",
        "setup/local/conf/ray.env",
        "setup/local/conf/redis.conf",
        "setup/monitoring/alerts.yaml",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text((CHECKOUT / name).read_text())
    for path, text in rendered_files(tmp_path).items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    assert not stale_files(tmp_path)

    source = tmp_path / "setup" / "serve_config.yaml"
    source.write_text(source.read_text().replace("num_replicas: 3", "num_replicas: 4"))

    assert {path.name for path in stale_files(tmp_path)} == {"serve-config.yaml"}


def test_local_paths_and_ports_are_left_out() -> None:
    text = ray_environment("# why\nA=1\nB=$port\nRAY_AUTH_MODE=disabled\n\nC=x=y\n")

    assert text.splitlines()[1:] == ["A=1", "C=x=y"]


def test_local_addresses_are_left_out() -> None:
    text = redis_common('# why\nbind 127.0.0.1\nport $port\nappendonly yes\nsave ""\n')

    assert text.splitlines()[1:] == ["appendonly yes", 'save ""']


def test_one_case12_is_on_each_worker_and_each_partition_actor_on_two() -> None:
    source = (
        "applications: [{name: a, deployments: [{name: case12}, {name: case3-0}, {name: case3}]}]"
    )

    patch = yaml.safe_load(ray_service_patch(source, spread=True))

    config = yaml.safe_load(patch["spec"]["serveConfigV2"])
    assert deployments(config) == [
        {"name": "case12", "max_replicas_per_node": 1, "max_surge_percent": 0},
        {"name": "case3-0", "num_replicas": 2, "max_replicas_per_node": 1},
        {"name": "case3"},
    ]


@pytest.mark.parametrize("overlay", ["plain"])
def test_the_job_makes_as_many_partitions_as_there_are_actors(overlay: str) -> None:
    documents = rendered(overlay)
    job = named(documents, "Job/kafka-topics")["spec"]["template"]["spec"]["containers"][0]
    service = named(documents, "RayService/user-tags")
    config = yaml.safe_load(service["spec"]["serveConfigV2"])
    (case3,) = [one for one in config["applications"] if one["name"] == "case3"]

    wanted = {variable["name"]: variable.get("value") for variable in job["env"]}
    assert wanted["TAGS_TOPIC_PARTITIONS"] == str(case3["args"]["partitions"])
    assert "--add-partitions" in job["command"]
