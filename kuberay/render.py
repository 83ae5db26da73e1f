"""Renders the files shared with the local set-up: ``python -m kuberay.render [--check]``.

Each has one source in setup/. The rendered files are committed, so that ``kubectl kustomize`` needs
nothing else, and a test checks that they are up to date.

* setup/serve_config.yaml becomes the RayService's ``serveConfigV2``, in base and in overlay prod.
* setup/local/conf/ray.env becomes the environment of Ray's pods, without local variables.
* setup/local/conf/redis.conf becomes the part of redis.conf that both clusters share.
* setup/monitoring/alerts.yaml becomes a PrometheusRule, next to the rules for Kubernetes itself.
* setup/monitoring/dashboard.py becomes the JSON that Grafana reads.
"""

import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final

import typer
import yaml

from setup.command_line import run_main
from setup.monitoring.dashboard import dashboard

CHECKOUT: Final = Path(__file__).resolve().parent.parent
RAY_SERVICE: Final = "user-tags"
SPREAD: Final = "case12"
"""A worker is never ready without a replica of this deployment (docs/architecture.md, C18)."""
DOUBLED: Final = re.compile(r"case3-\d+")
"""Partition actors. Ray starts a lost one again only while it has its control store, and a host may
take both: so a second one stands by on another host, and goes on from the stored position (I2)."""

LOCAL_RAY: Final = frozenset(
    {
        "RAY_AUTH_MODE",
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER",
        "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S",
        # The image sets it.
        "PYTHONPATH",
    }
)
"""Variables of the local ray.env that are only for a single node on loopback."""

IMAGE_CHECKOUT: Final = "/opt/user-tags"
"""Where kuberay/Dockerfile puts the code."""

LOCAL_REDIS: Final = frozenset(
    {
        "bind",
        "cluster-port",
        "daemonize",
        "dir",
        "logfile",
        "maxclients",
        "maxmemory",
        "port",
        "protected-mode",
        "set-proc-title",
        "tcp-backlog",
    }
)
"""Directives of the local redis.conf on identity, address and size, which pods set themselves."""

LOCAL_ALERTS: Final = frozenset({"DiskNearlyFull"})
"""Alerts of one machine that kuberay/components/monitoring/alerts.yaml has in a form of its own."""


def main(
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing, but name the files that differ.")
    ] = False,
) -> int:
    """Exit status: 1 if ``--check`` finds a file that differs from its source."""
    stale = stale_files(CHECKOUT)
    for path, text in stale.items():
        if check:
            print(f"{path} differs from its source: run python -m kuberay.render", file=sys.stderr)
        else:
            (CHECKOUT / path).write_text(text)
            print(f"rendered {path}")
    return 1 if check and stale else 0


def stale_files(checkout: Path) -> dict[Path, str]:
    """Text of missing and outdated rendered files, by path in the checkout."""
    return {
        path: text
        for path, text in rendered_files(checkout).items()
        if not (checkout / path).exists() or (checkout / path).read_text() != text
    }


def rendered_files(checkout: Path) -> dict[Path, str]:
    """Text of all rendered files, by path in the checkout."""
    setup, here = checkout / "setup", Path("kuberay")
    serve = (setup / "serve_config.yaml").read_text()
    environment = (setup / "local" / "conf" / "ray.env").read_text()
    redis = (setup / "local" / "conf" / "redis.conf").read_text()
    alerts = (setup / "monitoring" / "alerts.yaml").read_text()
    return {
        here / "base" / "app" / "serve-config.yaml": ray_service_patch(serve, spread=False),
        here / "overlays" / "prod" / "serve-config.yaml": ray_service_patch(serve, spread=True),
        here / "base" / "app" / "ray.env": ray_environment(environment),
        here / "base" / "redis" / "common.conf": redis_common(redis),
        here / "components" / "monitoring" / "platform-alerts.yaml": prometheus_rule(alerts),
        here / "components" / "monitoring" / "dashboard.json": dashboard(),
    }


def ray_service_patch(serve_config: str, *, spread: bool) -> str:
    """A patch that sets ``serveConfigV2``.

    With ``spread``, for several workers: one replica of `SPREAD` on each, and each of `DOUBLED` on
    two of them.
    """
    config = yaml.safe_load(serve_config)
    if spread:
        for deployment in deployments(config):
            if deployment["name"] == SPREAD:
                # No surge: a replacement that may only start on a host of its own waits for ever
                # where each has its replica, and Serve stops no old one before it runs.
                deployment |= {"max_replicas_per_node": 1, "max_surge_percent": 0}
            elif DOUBLED.fullmatch(deployment["name"]):
                deployment |= {"num_replicas": 2, "max_replicas_per_node": 1}
    patch = {
        "apiVersion": "ray.io/v1",
        "kind": "RayService",
        "metadata": {"name": RAY_SERVICE},
        "spec": {"serveConfigV2": yaml.dump(config, Dumper=_Literal, sort_keys=False)},
    }
    return _header("setup/serve_config.yaml") + yaml.dump(patch, Dumper=_Literal, sort_keys=False)


def deployments(config: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Every deployment of every application of a Serve config."""
    return [
        deployment
        for application in config["applications"]
        for deployment in application.get("deployments", [])
    ]


def ray_environment(template: str) -> str:
    """``NAME=value`` lines without `LOCAL_RAY` and those with placeholders for paths and ports.

    The placeholder of the checkout is replaced by `IMAGE_CHECKOUT`.
    """
    lines = [
        line
        for line in template.replace("$checkout", IMAGE_CHECKOUT).splitlines()
        if "=" in line and not line.startswith("#") and "$" not in line
        if line.partition("=")[0] not in LOCAL_RAY
    ]
    return _header("setup/local/conf/ray.env") + "\n".join(lines) + "\n"


def redis_common(template: str) -> str:
    """The directives that are not about one machine; comments are in the source."""
    lines = [
        line
        for line in template.splitlines()
        if line and not line.startswith("#") and line.split()[0] not in LOCAL_REDIS
    ]
    return _header("setup/local/conf/redis.conf") + "\n".join(lines) + "\n"


def prometheus_rule(rules: str) -> str:
    """The same groups of rules without `LOCAL_ALERTS`, for the Prometheus operator."""
    spec = yaml.safe_load(rules)
    for group in spec["groups"]:
        group["rules"] = [rule for rule in group["rules"] if rule["alert"] not in LOCAL_ALERTS]
    document = {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "user-tags-platform", "namespace": "user-tags"},
        "spec": spec,
    }
    return _header("setup/monitoring/alerts.yaml") + yaml.safe_dump(
        document, sort_keys=False, width=1_000
    )


def _header(source: str) -> str:
    return f"# Rendered from {source} by kuberay/render.py: change that, not this.\n"


class _Literal(yaml.SafeDumper):
    """Dump readable YAML: multi-line text as blocks, keys in their order."""

    def ignore_aliases(self, data: object) -> bool:
        return True


def _represent(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else "")


_Literal.add_representer(str, _represent)

if __name__ == "__main__":
    run_main(main, __doc__)
