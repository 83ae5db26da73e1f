"""Marks that several tests carry: which tier a test is in, where its folder does not say so."""

import pytest

second_tier = pytest.mark.second_tier
"""`make test-all`: slow, and a faster test covers the same for most changes."""
third_tier = pytest.mark.third_tier
"""`make test-long`: takes minutes, and shorter variants run each time."""
