"""The second image differs from the first in one variable, and its archive brings no layer."""

import hashlib
import io
import json
import tarfile
from typing import Any

from tests.kuberay.cluster.changed_image import changed_archive

MANIFEST: dict[str, Any] = {
    "schemaVersion": 2,
    "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
    "config": {
        "mediaType": "application/vnd.docker.container.image.v1+json",
        "digest": "sha256:00",
        "size": 1,
    },
    "layers": [
        {
            "mediaType": "application/vnd.docker.image.rootfs.diff.tar",
            "digest": "sha256:11",
            "size": 7,
        }
    ],
}
CONFIG: dict[str, Any] = {
    "architecture": "amd64",
    "os": "linux",
    "config": {"Env": ["PATH=/bin", "TAGS_COMMIT="], "User": "1000:100"},
    "rootfs": {"type": "layers", "diff_ids": ["sha256:11"]},
}


def files() -> dict[str, bytes]:
    tar = changed_archive(MANIFEST, CONFIG, "docker.io/library/user-tags:0.1.0-changed", "second")
    with tarfile.open(fileobj=io.BytesIO(tar)) as archive:
        found = {}
        for entry in archive:
            content = archive.extractfile(entry)
            assert content is not None
            found[entry.name] = content.read()
    return found


def test_each_reference_leads_to_what_it_names() -> None:
    there = files()
    (described,) = json.loads(there["index.json"])["manifests"]
    manifest = there[f"blobs/{described['digest'].replace(':', '/')}"]
    config = there[f"blobs/{json.loads(manifest)['config']['digest'].replace(':', '/')}"]

    for content, reference in ((manifest, described), (config, json.loads(manifest)["config"])):
        assert reference["size"] == len(content)
        assert reference["digest"] == f"sha256:{hashlib.sha256(content).hexdigest()}"
    assert json.loads(manifest)["layers"] == MANIFEST["layers"]
    # The two, and no layer.
    assert len([name for name in there if name.startswith("blobs/")]) == 2


def test_only_the_commit_differs() -> None:
    (config,) = [
        content
        for name, text in files().items()
        if name.startswith("blobs/") and "rootfs" in (content := json.loads(text))
    ]

    assert config["config"]["Env"] == ["PATH=/bin", "TAGS_COMMIT=second"]
    assert {**config, "config": {**config["config"], "Env": CONFIG["config"]["Env"]}} == CONFIG
