"""The Serve application ``case3``: one deployment a Kafka partition (docs/architecture.md, C12).

In the Serve config::

    - name: case3
      import_path: actors.app:build
      route_prefix: /case3
      args: {partitions: 3}

What each of them may take, and the version of its code, stand in the Serve config, not here.
"""

from typing import Any, Final

from pydantic import BaseModel, Field
from ray import serve
from ray.serve import Application

from actors.serve.deployments import PartitionDeployment
from actors.serve.ingress import StatusIngress
from serve_app.core.names import CASE3_APP

_OPTIONS: Final[dict[str, Any]] = {
    # On one host. On several a second one stands by on another (kuberay/render.py).
    "num_replicas": 1,
    # Status calls only.
    "max_ongoing_requests": 8,
    "health_check_period_s": 5,
    "health_check_timeout_s": 10,
    # No request is worth waiting for; what is not committed is read again.
    "graceful_shutdown_wait_loop_s": 0.5,
    "graceful_shutdown_timeout_s": 10,
}


class Case3Args(BaseModel):
    """``args`` of the application in the Serve config."""

    partitions: int = Field(default=3, ge=1, le=1_000)
    """Of the topic ``user_tags``; an actor each."""
    version: str = ""
    """Any text; when it differs, Serve builds the application anew and replaces all actors."""


def partition_deployment(partition: int) -> str:
    """``case3-0`` and so on."""
    return f"{CASE3_APP}-{partition}"


def build(args: Case3Args) -> Application:
    """The whole application. Serve hands over ``args`` as the type that is written here."""
    partitions = [
        serve.deployment(**_OPTIONS)(PartitionDeployment)
        .options(name=partition_deployment(partition))
        .bind(partition)
        for partition in range(args.partitions)
    ]
    ingress = serve.deployment(**_OPTIONS)(StatusIngress)
    return ingress.options(name=CASE3_APP).bind(partitions)
