"""Skips what cannot be checked here, with the reason."""

import pytest

from tests.kuberay.manifests import kustomize_is_there

needs_kustomize = pytest.mark.skipif(
    not kustomize_is_there(), reason="neither kubectl nor kustomize is on PATH"
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything that renders manifests needs kustomize."""
    for item in items:
        if "overlay" in getattr(item, "fixturenames", ()):
            item.add_marker(needs_kustomize)
