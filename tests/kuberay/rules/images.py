"""Images: a version each, from a registry that is said, none that nobody maintains."""

from collections.abc import Iterator
from typing import Any

from tests.kuberay.manifests import Document, name_of


def images(documents: list[Document]) -> Iterator[tuple[str, str]]:
    """Every image, in whatever kind of resource, with its place."""
    for document in documents:
        yield from ((name_of(document), image) for image in _images_in(document))


def _images_in(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            if key == "image" and isinstance(inner, str):
                yield inner
            else:
                yield from _images_in(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _images_in(inner)


def images_are_pinned(documents: list[Document]) -> list[str]:
    """A tag that is a version, never ``latest``, never a variable branch."""
    found = []
    for place, image in images(documents):
        tag = image.rpartition("/")[2].partition(":")[2]
        if not tag or not any(character.isdigit() for character in tag):
            found.append(f"{place}: {image} has no tag that says a version")
        elif "latest" in tag:
            found.append(f"{place}: {image} is another image tomorrow")
    return found


def images_are_maintained(documents: list[Document]) -> list[str]:
    """No Bitnami image: they get no fixes any more since 2025-08."""
    return [
        f"{place}: {image} is not maintained"
        for place, image in images(documents)
        if "bitnami" in image
    ]
