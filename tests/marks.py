"""Marks that several tests carry: which tier a test is in, where its folder does not say so."""

import pytest

second_tier = pytest.mark.second_tier
"""`make test-all`: slow, and what it proves is proved by a quicker sibling for most changes."""
third_tier = pytest.mark.third_tier
"""`make test-long`: takes minutes, and shorter siblings run each time."""
