"""What Redis' probes and hooks ask of their own node, and how liveness takes each answer."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.kuberay.manifests import CHECKOUT

SOURCE = CHECKOUT / "kuberay" / "base" / "redis"
LOADING = "LOADING Redis is loading the dataset in memory"


@pytest.mark.parametrize(
    ("answer", "status", "alive"),
    [
        ("PONG", 0, True),
        # Errors of the server are printed, with exit status 0.
        (LOADING, 0, True),
        ("NOAUTH Authentication required.", 0, False),
        ("", 1, False),
    ],
)
def test_a_node_that_answers_or_loads_is_alive(
    answer: str, status: int, alive: bool, tmp_path: Path
) -> None:
    client = tmp_path / "redis-cli"
    client.write_text(f"#!/bin/sh\necho '{answer}'\nexit {status}\n")
    client.chmod(0o755)

    done = subprocess.run(
        ["sh", str(SOURCE / "alive.sh")],
        env={"PATH": f"{tmp_path}:{os.environ['PATH']}", "REDIS_PASSWORD": "secret"},
        capture_output=True,
        check=False,
    )

    assert (done.returncode == 0) is alive


@pytest.mark.parametrize(
    "script", ["alive.sh", "ready.sh", "hand-over.sh", "follow-addresses.sh", "take-over.sh"]
)
def test_the_own_node_is_asked_without_dns(script: str) -> None:
    """An outage of DNS would otherwise restart every node, or hold up its stop."""
    text = (SOURCE / script).read_text()

    assert "-h 127.0.0.1" in text
    assert "$POD_NAME" not in text
