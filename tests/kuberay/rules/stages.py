"""Stages of up.sh: what is applied before what."""

from typing import Final

from tests.kuberay.manifests import Document, name_of

STAGES: Final = {
    "Namespace": "first",
    "StatefulSet": "stores",
    "Service": "stores",
    "Kafka": "stores",
    "KafkaNodePool": "stores",
    "KafkaTopic": "stores",
    "KafkaUser": "stores",
    "PerconaServerMySQL": "stores",
    "Job": "jobs",
    "RayService": "app",
}
"""Kinds that only make sense once something else is there; all others are applied first."""


def stages_are_right(documents: list[Document]) -> list[str]:
    """The label user-tags.io/stage, by kind."""
    found = []
    for document in documents:
        stage = document["metadata"].get("labels", {}).get("user-tags.io/stage")
        wanted = STAGES.get(document["kind"])
        if wanted is not None and stage != wanted:
            found.append(f"{name_of(document)}: is in stage {stage}, not {wanted}")
        if document["metadata"].get("labels", {}).get("app.kubernetes.io/part-of") is None:
            found.append(f"{name_of(document)}: is not labelled as a part of the platform")
    return found
