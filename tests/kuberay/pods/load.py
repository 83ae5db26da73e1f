"""The Web Panel in a pod of the cluster, outside of the platform's namespace.

It runs in the platform's image, which has all that the panel imports, and comes as a ConfigMap.
Moments are those of the monotonic clock in the pod (s): on a cluster of this machine also its own.
"""

import base64
import io
import json
import subprocess
import tarfile
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Final

from tests.faults.running_load import LoadResult, Sample
from tests.kuberay.manifests import CHECKOUT
from tests.kuberay.pods.kube import SERVICE, Kube, wait_for
from tests.webpanel.options import SubscriptionOptions

LOAD_NAMESPACE: Final = "user-tags-test"
RATE: Final = 50.0
_SOURCES: Final = ("tests/__init__.py", "tests/faults/*.py", "tests/webpanel/*.py")
_CODE: Final = "panel-code"
_IMAGE: Final = "user-tags:0.1.0"
# The load ends its stream when its standard input does.
_RUN: Final = """
set -e
mkdir -p /tmp/code /tmp/out
python -m tarfile -e /code/tests.tar.gz /tmp/code
cd /tmp/code
while [ ! -e /tmp/finish ]; do sleep 0.3; done | python -m tests.faults.load "$OPTIONS" /tmp/out
touch /tmp/over
sleep 1000000
"""


class Load:
    """Starts the load; `finish` ends the stream, asks what is still due and brings the result."""

    def __init__(
        self, kube: Kube, *, seed: int, name: str = "panel", balancer: str | None = None
    ) -> None:
        """Returns when tags are being sent: to the service's address, or to ``balancer``'s."""
        self.samples: list[Sample] = []
        self._kube, self._name = kube, name
        service = kube.get("service", SERVICE)
        self.options = SubscriptionOptions(
            host=balancer or service["spec"]["clusterIP"],
            port=8000,
            rate=RATE,
            duration_s=6 * 3600,
            seed=seed,
            # Event time goes as the clock does, so that each load comes after the one before.
            step_ms=1000 / RATE,
            start_ms=int(time.time()) * 1000,
            token=kube.secret("api-token"),
        )
        kube.apply(self._objects())
        wait_for("the load's pod", self._ready, timeout_s=60)
        self._logs = subprocess.Popen(
            ["kubectl", "-n", LOAD_NAMESPACE, "logs", "-f", name],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=kube.environment,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        wait_for("the load", lambda: self.running, timeout_s=60)

    @property
    def running(self) -> bool:
        """Whether tags are being sent."""
        return bool(self.samples) and self.samples[-1].state == "running"

    @property
    def now_s(self) -> float:
        """Of the last sample."""
        return self.samples[-1].at_s

    def finish(self) -> LoadResult:
        """The report, and what became of each tag."""
        self._exec("touch", "/tmp/finish")
        wait_for("the load's end", self._over, timeout_s=240)
        report = json.loads(self._exec("cat", "/tmp/out/report.json"))
        outcomes = base64.b64decode(self._exec("base64", "/tmp/out/outcomes"))
        self.stop()
        return LoadResult(self.options, report, outcomes, tuple(self.samples))

    def stop(self) -> None:
        """Whatever it was about."""
        self._logs.kill()
        self._logs.wait()
        self._reader.join()
        assert self._logs.stdout is not None
        self._logs.stdout.close()
        self._kube.kubectl(
            *("-n", LOAD_NAMESPACE, "delete", "pod", self._name),
            *("--grace-period=0", "--force", "--ignore-not-found"),
        )

    def _read(self) -> None:
        assert self._logs.stdout is not None
        for line in self._logs.stdout:
            if line.startswith("{"):
                self.samples.append(Sample(**json.loads(line)))

    def _over(self) -> bool:
        listed = self._exec("ls", "/tmp").split()
        return "over" in listed

    def _exec(self, *command: str) -> str:
        return self._kube.kubectl("-n", LOAD_NAMESPACE, "exec", self._name, "--", *command)

    def _ready(self) -> bool:
        pod = json.loads(
            self._kube.kubectl("-n", LOAD_NAMESPACE, "get", "pod", self._name, "-o", "json")
        )
        return bool(pod["status"].get("phase") == "Running")

    def _objects(self) -> Sequence[dict[str, Any]]:
        here = {"namespace": LOAD_NAMESPACE}
        container = {
            "name": "panel",
            "image": _IMAGE,
            "command": ["sh", "-c", _RUN],
            "env": [{"name": "OPTIONS", "value": json.dumps(asdict(self.options))}],
            "volumeMounts": [{"name": "code", "mountPath": "/code"}],
            # More than it needs. Without, any pod that starts keeps it from the processors, and it
            # takes answers that it reads too late for answers that came too late.
            "resources": {"requests": {"cpu": "100m"}},
        }
        return [
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": LOAD_NAMESPACE}},
            {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {"name": _CODE, **here},
                "binaryData": {"tests.tar.gz": base64.b64encode(_sources()).decode()},
            },
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {"name": self._name, **here},
                "spec": {
                    "containers": [container],
                    "volumes": [{"name": "code", "configMap": {"name": _CODE}}],
                    "affinity": PREFERS_FIRST,
                },
            },
        ]


PREFERS_FIRST: Final = {
    "nodeAffinity": {
        "preferredDuringSchedulingIgnoredDuringExecution": [
            {
                "weight": 100,
                "preference": {
                    "matchExpressions": [
                        {"key": "user-tags.io/test", "operator": "In", "values": ["first"]}
                    ]
                },
            }
        ]
    }
}
"""Not on a node that a test takes away, where a cluster has such."""


def _sources() -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as archive:
        for pattern in _SOURCES:
            for path in sorted(CHECKOUT.glob(pattern)):
                archive.add(path, path.relative_to(CHECKOUT), recursive=False)
    return made.getvalue()
