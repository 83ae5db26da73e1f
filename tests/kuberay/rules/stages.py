"""Stages of up.sh: what is applied before what."""

from typing import Final

from tests.kuberay.manifests import Document, name_of, of_kind, pod_templates
from tests.kuberay.rules.references import config_map_names

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
    "CronJob": "jobs",
    "RayService": "app",
}
"""Kinds that only make sense once something else is there; all others are applied first."""


def stages_are_right(documents: list[Document]) -> list[str]:
    """The label user-tags.io/stage, by kind."""
    found = []
    for document in documents:
        stage = _stage(document)
        wanted = STAGES.get(document["kind"])
        if wanted is not None and stage != wanted:
            found.append(f"{name_of(document)}: is in stage {stage}, not {wanted}")
        if document["metadata"].get("labels", {}).get("app.kubernetes.io/part-of") is None:
            found.append(f"{name_of(document)}: is not labelled as a part of the platform")
    return found


ORDER: Final = ("first", None, "stores", "jobs", "app")
"""As up.sh applies them; None is what has no stage."""


def config_maps_come_first(documents: list[Document]) -> list[str]:
    """A pod waits for its config map for ever if up.sh waits for the pod before it applies it."""
    stage = {
        document["metadata"]["name"]: ORDER.index(_stage(document))
        for document in of_kind(documents, "ConfigMap")
    }
    owners = {name_of(document): ORDER.index(_stage(document)) for document in documents}
    return [
        f"{place}: config map {name} is applied after it"
        for place, template in pod_templates(documents)
        for name in sorted(config_map_names(template))
        if stage.get(name, 0) > owners[place.partition(" ")[0]]
    ]


def _stage(document: Document) -> str | None:
    labels: dict[str, str] = document["metadata"].get("labels", {})
    return labels.get("user-tags.io/stage")
