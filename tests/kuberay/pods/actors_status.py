"""``GET /case3/status``, as a test waits for it."""

import json
from typing import Any

from tests.kuberay.pods.client import Client


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


def _keeps_up(document: dict[str, Any], most_lag: int) -> bool:
    # Another actor of the partition may be the one that feeds a shard.
    feeds = [one for one in document["profiles"] if not one["state"].startswith("standby")]
    lags = [document["lag"], *(one["lag"] for one in feeds)]
    return (
        document["state"] == "running"
        and bool(document["offset"])
        and all(lag is not None and lag <= most_lag for lag in lags)
    )
