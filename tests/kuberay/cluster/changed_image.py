"""A second image of the platform: the layers of the first, and another commit for `GET /version`.

containerd has the layers, and takes an archive that brings the rest alone: a configuration and a
manifest that names it. So a new image is in a node within seconds.
"""

import hashlib
import io
import json
import tarfile
from typing import Any, Final

from tests.kuberay.cluster.namespaces import Namespaces

_VARIABLE: Final = "TAGS_COMMIT"
"""What the Dockerfile sets last (kuberay/Dockerfile)."""
_INDEX_TYPE: Final = "application/vnd.oci.image.index.v1+json"
_NAME: Final = "io.containerd.image.name"
"""The annotation by which containerd names what it imports."""


def add(node: Namespaces, base: str, name: str, commit: str) -> None:
    """Make image ``name`` in a node that runs, from its image ``base``; full names with a tag."""
    containerd = ("ctr", "-a", f"{node.folder}/containerd.sock", "-n", "k8s.io")
    _, listed = node.run(*containerd, "images", "ls", f"name=={base}").splitlines()
    manifest = json.loads(node.run(*containerd, "content", "get", listed.split()[2]))
    digest = manifest["config"]["digest"]
    config = json.loads(node.run(*containerd, "content", "get", digest))
    archive = node.folder / "changed-image.tar"
    archive.write_bytes(changed_archive(manifest, config, name, commit))
    node.run(*containerd, "images", "import", str(archive))


def changed_archive(
    manifest: dict[str, Any], config: dict[str, Any], name: str, commit: str
) -> bytes:
    """An OCI layout as a tar, without layers.

    https://github.com/opencontainers/image-spec/blob/main/image-layout.md
    """
    variables = [one for one in config["config"]["Env"] if not one.startswith(f"{_VARIABLE}=")]
    settings = {**config["config"], "Env": [*variables, f"{_VARIABLE}={commit}"]}
    blobs: dict[str, bytes] = {}

    def put(document: dict[str, Any], media_type: str) -> dict[str, Any]:
        content = json.dumps(document).encode()
        digest = hashlib.sha256(content).hexdigest()
        blobs[digest] = content
        return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(content)}

    new_config = put({**config, "config": settings}, manifest["config"]["mediaType"])
    new = put({**manifest, "config": new_config}, manifest["mediaType"])
    index = {
        "schemaVersion": 2,
        "mediaType": _INDEX_TYPE,
        "manifests": [{**new, "annotations": {_NAME: name}}],
    }
    files = {
        "oci-layout": json.dumps({"imageLayoutVersion": "1.0.0"}).encode(),
        "index.json": json.dumps(index).encode(),
        **{f"blobs/sha256/{digest}": content for digest, content in blobs.items()},
    }
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        for path, content in files.items():
            entry = tarfile.TarInfo(path)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return made.getvalue()
