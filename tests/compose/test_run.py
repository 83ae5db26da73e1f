"""The services of setup/compose/compose.yaml, run: at first, again, and until nothing is left.

By Podman, with the images of the tests' Kubernetes: the platform's from its real Dockerfile, the
stores' stand-ins (tests/kuberay/cluster/images). Neither Docker nor the public images are tried.
"""

import json
import os
import secrets
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from kuberay.render import CHECKOUT
from tests.compose.podman import Composition
from tests.kuberay.cluster.cluster import CACHE, built_images
from tests.kuberay.cluster.machine import need_machine
from tests.tags import new_tag
from tests.waiting import wait_until
from tests.webpanel.eventtime import tag_time

pytestmark = [
    pytest.mark.skipif(
        not os.environ.get("TAGS_TEST_KUBERNETES"), reason="builds images: make test-compose"
    ),
    pytest.mark.timeout(3600),
]


@pytest.fixture
def composition(tmp_path: Path) -> Iterator[Composition]:
    need_machine()
    if shutil.which("podman") is None:
        pytest.skip(
            "apt-get install --no-install-recommends podman netavark aardvark-dns catatonit"
        )
    built_images()
    # Where CNI's plugins are, too, Podman would take those, without names for containers.
    settings = tmp_path / "containers.conf"
    settings.write_text('[network]\nnetwork_backend = "netavark"\n')
    podman = (
        *("env", f"CONTAINERS_CONF={settings}"),
        *("podman", "--root", str(CACHE / "buildah"), "--runroot", str(CACHE / "buildah-run")),
        *("--storage-driver", "overlay", "--cgroup-manager", "cgroupfs"),
        *("--events-backend", "file"),
    )
    file = CHECKOUT / "setup/compose/compose.yaml"
    made = Composition(file, f"tags-{secrets.token_hex(3)}", podman)
    try:
        yield made
    finally:
        made.down(volumes=True)


def ask(port: int, path: str, document: object = None) -> tuple[int, Any]:
    """Status and document."""
    body = b"" if document is None else json.dumps(document).encode()
    request = Request(f"http://127.0.0.1:{port}{path}", body, {"content-type": "application/json"})
    try:
        with urlopen(request, timeout=70) as response:
            text = response.read()
            return response.status, json.loads(text) if text else None
    except HTTPError as error:
        return error.code, error.read().decode()


def views(port: int) -> list[Any]:
    status, profile = ask(
        port, "/user_profiles/compose?time_range=2000-01-01T00:00:00_2100-01-01T00:00:00"
    )
    assert status == 200, profile
    found: list[Any] = profile["views"]
    return found


def test_it_comes_up_keeps_its_data_and_leaves_nothing(composition: Composition) -> None:
    composition.up()
    port = composition.ports[8000]
    now_ms = int(time.time() * 1000)
    tag = new_tag("compose", tag_time(now_ms), origin="O")
    assert ask(port, "/user_tags", tag) == (204, None)
    assert views(port) == [tag]
    first, last = (tag_time(now_ms // 60_000 * 60_000 + ms)[:19] for ms in (0, 60_000))
    question = f"/aggregates?time_range={first}_{last}&action=VIEW&origin=O&aggregates=COUNT"
    wait_until(
        "the tag to be counted",
        lambda: ask(port, question)[1]["rows"] == [[first, "VIEW", "O", "1"]],
    )

    composition.down()
    composition.up()
    assert views(composition.ports[8000]) == [tag]

    composition.down(volumes=True)
    listed = [composition.podman("ps", "--all"), composition.podman("network", "ls")]
    listed.append(composition.podman("volume", "ls"))
    assert not any(composition.project in text for text in listed)
