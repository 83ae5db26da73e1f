"""Partition actors, as a test waits for them: by ``GET /case3/status``, and by Serve's replicas."""

import json
from collections.abc import Collection
from subprocess import TimeoutExpired
from typing import Any, Final

from tests.kuberay.pods.client import Client
from tests.kuberay.pods.kube import Kube, KubectlError

_HOSTS_BY_ACTOR: Final = """
import json, urllib.request
with urllib.request.urlopen("http://127.0.0.1:8265/api/serve/applications/", timeout=10) as answer:
    deployments = json.load(answer)["applications"]["case3"]["deployments"]
print(json.dumps({
    name: sorted({one["node_ip"] for one in it["replicas"] if one["state"] == "RUNNING"})
    for name, it in deployments.items() if name.startswith("case3-")
}))
"""


def partitions(client: Client) -> list[dict[str, Any]]:
    """The document of each partition; none while the status cannot be had."""
    status, text = client.ask("GET", "/case3/status")
    found: list[dict[str, Any]] = json.loads(text)["partitions"] if status == 200 else []
    return found


def counting(client: Client, number: int, *, most_lag: int = 200) -> bool:
    """Whether each of ``number`` partitions has tags, and actors that keep up with them."""
    documents = partitions(client)
    print([(one["state"], one["offset"], one["lag"]) for one in documents], flush=True)
    return len(documents) == number and all(_keeps_up(one, most_lag) for one in documents)


def hosts_by_actor(kube: Kube) -> dict[str, list[str]]:
    """Addresses of workers where Serve says that an actor of the partition runs."""
    hosts: dict[str, list[str]] = json.loads(kube.in_head("python", "-c", _HOSTS_BY_ACTOR))
    return hosts


def on_two_hosts(kube: Kube, without: Collection[str] = ()) -> bool:
    """Whether each partition has an actor left when any one host is lost.

    ``without``: addresses of workers that are lost already, whatever Serve still says of them.
    """
    try:
        hosts = hosts_by_actor(kube)
    except (KubectlError, TimeoutExpired):
        return False
    print("actors:", hosts, flush=True)
    return bool(hosts) and all(len(set(each) - set(without)) >= 2 for each in hosts.values())


def _keeps_up(document: dict[str, Any], most_lag: int) -> bool:
    # Another actor of the partition may be the one that feeds a shard.
    feeds = [one for one in document["profiles"] if not one["state"].startswith("standby")]
    lags = [document["lag"], *(one["lag"] for one in feeds)]
    return (
        document["state"] == "running"
        and bool(document["offset"])
        and all(lag is not None and lag <= most_lag for lag in lags)
    )
