"""Waits until no request is dropped any more, and otherwise says which were, when, and why."""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from subprocess import TimeoutExpired
from typing import Final

from tests.faults.running_load import Sample
from tests.kuberay.pods.client import Client
from tests.kuberay.pods.hosts import masters_parted, redis
from tests.kuberay.pods.kube import Kube, KubectlError, wait_for
from tests.kuberay.pods.load import Load

STEP_S: Final = 5.0
_ASKED_COOKIES: Final = 8
"""Some for each shard, whichever slots they have: a shard's 503 says what it lacks."""
_ALL_TIME: Final = "time_range=2020-01-01T00:00:00_2040-01-01T00:00:00"


def wait_until_quiet(
    load: Load, kube: Kube, client: Client, *, seconds: float, timeout_s: float
) -> None:
    """Return once nothing was dropped for ``seconds``.

    Raises:
        AssertionError: not within ``timeout_s``; with what was dropped over that time, what the API
            says of itself, and where the pods are.
    """
    since_s = load.now_s
    try:
        wait_for("quiet", lambda: quiet_for(load.samples, seconds), timeout_s=timeout_s)
    except AssertionError as error:
        told = (
            str(error),
            *drops_over_time(load.samples, since_s),
            *what_the_api_says(client),
            *what_redis_says(kube),
            _or_error(lambda: kube.kubectl("get", "pods", "-o", "wide")),
        )
        raise AssertionError("\n".join(told)) from None


def wait_for_parted_masters(kube: Kube, timeout_s: float = 240) -> None:
    """Until each Redis master is on a host of its own.

    Raises:
        AssertionError: not in time; with where the pods are, what the CronJob's last ones wrote,
            and how each node sees the cluster.
    """
    try:
        wait_for(
            "the Redis masters to be parted", lambda: masters_parted(kube), timeout_s=timeout_s
        )
    except AssertionError as error:
        jobs = ("logs", "-l", "app.kubernetes.io/name=redis-bootstrap", "--prefix", "--tail", "20")
        told = (
            str(error),
            _or_error(lambda: kube.kubectl("get", "pods", "-o", "wide")),
            _or_error(lambda: kube.kubectl("get", "jobs")),
            _or_error(partial(kube.kubectl, *jobs, "--all-containers", timeout_s=10)),
            *what_redis_says(kube),
        )
        raise AssertionError("\n".join(told)) from None


def quiet_for(samples: Sequence[Sample], seconds: float) -> bool:
    """Whether nothing was dropped for so long."""
    now = samples[-1]
    past = [sample for sample in samples if sample.at_s <= now.at_s - seconds]
    return bool(past) and past[-1].dropped == now.dropped


def last_drop_s(samples: Sequence[Sample], since_s: float) -> float:
    """When a request was last dropped, in seconds after ``since_s`` (monotonic); 0 if none was."""
    dropped = [
        sample.at_s - since_s
        for before, sample in pairwise(samples)
        if sample.at_s >= since_s and sample.dropped > before.dropped
    ]
    return max(dropped, default=0.0)


def drops_over_time(samples: Sequence[Sample], since_s: float) -> list[str]:
    """A line per `STEP_S` from ``since_s`` (monotonic) on: by how much each counter grew."""
    lines = []
    before: Sample | None = None
    for sample in samples:
        if sample.at_s < since_s:
            continue
        if before is None:
            before = sample
        elif sample is samples[-1] or sample.at_s - before.at_s >= STEP_S:
            first_s, last_s = before.at_s - since_s, sample.at_s - since_s
            lines.append(
                f"{first_s:5.0f} to {last_s:3.0f} s: {sample.sent - before.sent} tags sent; "
                f"dropped {sample.dropped - before.dropped}, of these "
                f"{sample.timed_out - before.timed_out} timed out; "
                f"tags with 5xx {sample.tags_5xx - before.tags_5xx}; of "
                f"{sample.profiles_asked - before.profiles_asked} profile queries "
                f"{sample.profiles_unanswered - before.profiles_unanswered} unanswered"
            )
            before = sample
    return lines


def what_the_api_says(client: Client) -> list[str]:
    """Status of the actors, and answers to profile queries: a refusal says what is behind."""
    asked = [("GET", "/case3/status")]
    asked += [("POST", f"/user_profiles/none-{n}?{_ALL_TIME}") for n in range(_ASKED_COOKIES)]
    return [f"{how} {path}: {_or_error(_asking(client, how, path))}" for how, path in asked]


def what_redis_says(kube: Kube) -> list[str]:
    """How each node that can be asked sees the cluster, and the end of its log."""
    told = []
    for pod in (f"redis-{number}" for number in range(6)):
        # Of a host that is away nothing answers, not even with an error.
        nodes = _or_error(partial(redis, kube, pod, "CLUSTER", "NODES", timeout_s=10))
        log = ("logs", pod, "-c", "redis", "--tail", "25")
        told.append(f"{pod}:\n{nodes}\n{_or_error(partial(kube.kubectl, *log, timeout_s=10))}")
    return told


def _asking(client: Client, method: str, path: str) -> Callable[[], str]:
    return lambda: str(client.ask(method, path))


def _or_error(ask: Callable[[], str]) -> str:
    """A cluster in trouble may not even tell what is wrong."""
    try:
        return ask()
    except (KubectlError, TimeoutExpired) as error:
        return repr(error)
