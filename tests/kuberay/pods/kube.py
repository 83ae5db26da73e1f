"""A cluster as a test sees it: kubectl, and the product's own scripts."""

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from tests.kuberay.manifests import CHECKOUT

NAMESPACE: Final = "user-tags"
SERVICE: Final = "user-tags-serve-svc"
"""The API's."""
SETTINGS: Final = "kuberay/base/settings/settings.env"
CHANGED_SETTING: Final = "TAGS_RECORD_REQUEST_IDS=false"
"""A line for it."""
_HEAD: Final = "ray.io/node-type=head"


class KubectlError(AssertionError):
    """What kubectl said when it failed."""


@dataclass(frozen=True)
class Kube:
    """Whoever made the cluster."""

    kubeconfig: Path
    tools: Sequence[Path] = ()
    """Folders of commands that come before those of PATH."""

    @property
    def environment(self) -> Mapping[str, str]:
        """Of commands that talk to the cluster."""
        path = os.pathsep.join([*map(str, self.tools), os.environ["PATH"]])
        return {**os.environ, "KUBECONFIG": str(self.kubeconfig), "PATH": path}

    def kubectl(self, *arguments: str, text: str = "", timeout_s: float = 120) -> str:
        """Standard output, in the platform's namespace unless told otherwise."""
        return self._run("-n", NAMESPACE, *arguments, text=text, timeout_s=timeout_s)

    def apply(self, documents: Sequence[Mapping[str, Any]]) -> None:
        """Each in the namespace that it names."""
        text = yaml.safe_dump_all(documents)
        self._run("apply", "--server-side", "-f", "-", text=text, timeout_s=60)

    def _run(self, *arguments: str, text: str, timeout_s: float) -> str:
        ran = subprocess.run(
            ["kubectl", *arguments],
            input=text,
            capture_output=True,
            text=True,
            env=self.environment,
            timeout=timeout_s,
            check=False,
        )
        if ran.returncode:
            raise KubectlError(f"kubectl {' '.join(arguments)}: {ran.stderr}{ran.stdout}")
        return ran.stdout

    def get(self, *what: str) -> Any:
        """As JSON."""
        return json.loads(self.kubectl("get", *what, "-o", "json"))

    def items(self, *what: str) -> list[dict[str, Any]]:
        """Items of a list."""
        items: list[dict[str, Any]] = self.get(*what)["items"]
        return items

    def secret(self, name: str, key: str = "password") -> str:
        """Its text."""
        template = f'{{{{index .data "{key}" | base64decode}}}}'
        return self.kubectl("get", "secret", name, "-o", f"go-template={template}")

    def active_cluster(self) -> str:
        """The name of the RayCluster that serves."""
        active = self.get("rayservice", NAMESPACE)["status"]["activeServiceStatus"]
        return str(active["rayClusterName"])

    def has_cluster(self, name: str) -> bool:
        """Whether the RayCluster is there, be it on its way out."""
        return name in [one["metadata"]["name"] for one in self.items("rayclusters")]

    def head(self) -> str:
        """The name of the head's pod; of the active RayCluster while two are there."""
        label = f"{_HEAD},ray.io/cluster={self.active_cluster()}"
        (pod,) = [
            pod
            for pod in self.items("pods", "-l", label)
            if "deletionTimestamp" not in pod["metadata"]
        ]
        return str(pod["metadata"]["name"])

    def other_head(self, before: str) -> bool:
        """Whether another pod is the head now, and ready."""
        try:
            return self.head() != before and self.ready(self.head())
        except ValueError:
            return False

    def in_head(self, *command: str, text: str = "", timeout_s: float = 120) -> str:
        """Run in the head's pod, where the tools of the log have all that they need."""
        arguments = ("exec", "-i", self.head(), "-c", "ray-head", "--", *command)
        return self.kubectl(*arguments, text=text, timeout_s=timeout_s)

    def ready(self, pod: str) -> bool:
        """Whether the pod is there and all its containers are ready."""
        try:
            return is_ready(self.get("pod", pod))
        except KubectlError:
            return False


def is_ready(pod: Mapping[str, Any]) -> bool:
    """And not on its way out."""
    conditions = {one["type"]: one["status"] for one in pod["status"].get("conditions", [])}
    return "deletionTimestamp" not in pod["metadata"] and conditions.get("Ready") == "True"


def wait_for(what: str, done: Callable[[], Any], timeout_s: float = 60, every_s: float = 1) -> Any:
    """The first true answer of ``done``; AssertionError after ``timeout_s``.

    Seldom enough that asking takes little of the machine that the cluster shares with the test.
    """
    deadline = time.monotonic() + timeout_s
    while not (answer := done()):
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(every_s)
    return answer


class Checkout:
    """A copy of the manifests and of up.sh and down.sh, which a test may change."""

    def __init__(self, folder: Path, kube: Kube, overlay: str) -> None:
        """``folder`` does not exist yet."""
        for part in ("kuberay", "setup/kubernetes"):
            shutil.copytree(CHECKOUT / part, folder / part)
        self.folder = folder
        self._kube = kube
        self._overlay = overlay
        self._image = ""

    def up(self, *, image: str = "") -> str:
        """The product's up.sh; what it printed. An ``image`` is also that of the runs to come."""
        self._image = image or self._image
        return self._run("up.sh", *(("--image", self._image) if self._image else ()))

    def down(self, *options: str, answer: str = "yes") -> str:
        """The product's down.sh, its question answered."""
        return self._run("down.sh", *options, text=answer + "\n")

    def edit(self, path: str, old: str, new: str) -> None:
        """In a file of the copy, where ``old`` stands once."""
        file = self.folder / path
        before = file.read_text()
        assert before.count(old) == 1, f"{old!r} stands {before.count(old)} times in {path}"
        file.write_text(before.replace(old, new))

    def add(self, path: str, line: str) -> None:
        """At the end of a file of the copy."""
        with (self.folder / path).open("a") as file:
            file.write(f"{line}\n")

    def _run(self, script: str, *options: str, text: str = "") -> str:
        ran = subprocess.run(
            [str(self.folder / "setup/kubernetes" / script), "--overlay", self._overlay, *options],
            input=text,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=self._kube.environment,
            check=False,
        )
        assert ran.returncode == 0, f"{script}:\n{ran.stdout}"
        return ran.stdout
