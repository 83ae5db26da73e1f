"""Names of the tables of aggregates, for tests that empty them."""

from typing import Final

from serve_app.core.names import (
    AGGREGATES_TABLE,
    DICTIONARY_TABLE,
    OFFSETS_TABLE,
    OTHER_NAMES_TABLE,
    ROLLUPS_TABLE,
)

ALL_TABLES: Final = (
    AGGREGATES_TABLE,
    ROLLUPS_TABLE,
    OFFSETS_TABLE,
    DICTIONARY_TABLE,
    OTHER_NAMES_TABLE,
)
