"""Marks that several tests carry."""

import os

import pytest

takes_minutes = pytest.mark.skipif(
    "TAGS_TEST_SECONDS" not in os.environ, reason="takes minutes: make test-long"
)
"""For a test whose shorter siblings run each time."""
