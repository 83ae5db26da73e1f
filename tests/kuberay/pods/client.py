"""A pod beside the platform that asks the API, and tries other doors."""

import json
from typing import Any, Final

from tests.kuberay.pods.kube import NAMESPACE, SERVICE, Kube
from tests.kuberay.pods.load import LOAD_NAMESPACE, PREFERS_FIRST

_IMAGE: Final = "user-tags:0.1.0"
_ASK: Final = """
import json, sys, urllib.error, urllib.request
method, url, body, token = json.load(sys.stdin)
request = urllib.request.Request(url, method=method, data=body.encode() if body else None)
if token:
    request.add_header("Authorization", "Bearer " + token)
try:
    with urllib.request.urlopen(request, timeout=90) as answer:
        print(json.dumps([answer.status, answer.read().decode()]))
except urllib.error.HTTPError as error:
    print(json.dumps([error.code, error.read().decode()]))
"""
KNOCK: Final = """
import json, socket, sys
from concurrent.futures import ThreadPoolExecutor

def opens(door):
    try:
        socket.create_connection(door, timeout=2).close()
        return True
    except OSError:
        return False

doors = json.load(sys.stdin)
with ThreadPoolExecutor(len(doors)) as pool:
    print(json.dumps([door for door, open in zip(doors, pool.map(opens, doors)) if open]))
"""


class Client:
    """A pod that sleeps until it is told to do something."""

    def __init__(self, kube: Kube, namespace: str = LOAD_NAMESPACE) -> None:
        """Returns when the pod runs."""
        self._kube, self._namespace = kube, namespace
        self._base = f"http://{SERVICE}.{NAMESPACE}.svc:8000"
        container = {
            "name": "client",
            "image": _IMAGE,
            "command": ["sleep", "1000000"],
            "securityContext": {
                "allowPrivilegeEscalation": False,
                "capabilities": {"drop": ["ALL"]},
            },
        }
        made = [
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": LOAD_NAMESPACE}},
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {"name": "client", "namespace": namespace},
                "spec": {
                    "containers": [container],
                    "terminationGracePeriodSeconds": 0,
                    "affinity": PREFERS_FIRST,
                },
            },
        ]
        kube.apply(made)
        kube.kubectl("-n", namespace, "wait", "pod/client", "--for=condition=Ready")

    def ask(
        self, method: str, path: str, body: str = "", *, token: str | None = None
    ) -> tuple[int, str]:
        """Status and body; with the API's token unless another one is given."""
        if token is None:
            token = self._kube.secret("api-token")
        status, text = self._run(_ASK, [method, self._base + path, body, token])
        return status, text

    def opened(self, doors: list[tuple[str, int]]) -> list[tuple[str, int]]:
        """Hosts and ports that a connection could be made to."""
        return [(host, port) for host, port in self._run(KNOCK, doors)]

    def remove(self) -> None:
        """The pod."""
        self._kube.kubectl("-n", self._namespace, "delete", "pod", "client", "--wait=true")

    def _run(self, code: str, told: Any) -> Any:
        answer = self._kube.kubectl(
            *("-n", self._namespace, "exec", "-i", "client", "--", "python", "-c", code),
            text=json.dumps(told),
        )
        return json.loads(answer)
