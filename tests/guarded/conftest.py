"""A platform that asks for a token."""

from collections.abc import Iterator

import pytest

from setup.local.platform import EVERYTHING, Platform
from tests.conftest import PROMPT, instance

TOKEN = "a token of the tests"


# Not for the session: an idle platform takes a third of a core.
@pytest.fixture(scope="package")
def guarded_platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """Started for the tests of this folder, with `TOKEN`."""
    with instance(tmp_path_factory, {**PROMPT, "TAGS_API_TOKEN": TOKEN}) as running:
        running.up(EVERYTHING)
        yield running
