"""Until when each name is needed, and from when on each is counted under its id."""

from collections.abc import Sequence

import sqlalchemy
from alembic import op

from serve_app.core.names import DICTIONARY_TABLE, OFFSETS_TABLE, OTHER_NAMES_TABLE

revision: str = "0003"
down_revision: str | None = "0002"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

# Actors of the former version, which know nothing of either column, may go on for a while beside
# those of this one: the names that they add stay for good, and those that they use, for a day more.
COLUMNS = f"""
ALTER TABLE {DICTIONARY_TABLE}
    ADD COLUMN until_hour INT UNSIGNED NOT NULL DEFAULT 4294967295
        COMMENT 'newest epoch hour of event time that may have rows of it; the default is never',
    ADD COLUMN complete_from_hour INT UNSIGNED NOT NULL DEFAULT 0
        COMMENT 'some of its tags of earlier epoch hours may be counted under id 0'
"""

OTHER_NAMES = f"""
CREATE TABLE IF NOT EXISTS {OTHER_NAMES_TABLE} (
    dimension TINYINT UNSIGNED NOT NULL PRIMARY KEY,
    before_hour INT UNSIGNED NOT NULL
        COMMENT 'rows under id 0 are of earlier epoch hours of event time; 0 if there are none'
) ENGINE = InnoDB
"""

_NEWEST_HOUR = f"(SELECT COALESCE(MAX(watermark_ms), 0) DIV 3600000 FROM {OFFSETS_TABLE})"
_GRACE_HOURS = 24

# What is counted so far may have any of the names, and be under id 0.
FILL = (
    f"UPDATE {DICTIONARY_TABLE} SET until_hour = {_NEWEST_HOUR} + {_GRACE_HOURS}",
    f"INSERT INTO {OTHER_NAMES_TABLE} SELECT dimension, {_NEWEST_HOUR} + {_GRACE_HOURS} + 1 "
    f"FROM {DICTIONARY_TABLE} GROUP BY dimension "
    "ON DUPLICATE KEY UPDATE dimension = VALUES(dimension)",
)


def upgrade() -> None:
    """Add what is not there. The columns come last: with them, all is done."""
    op.execute(OTHER_NAMES)
    columns = sqlalchemy.inspect(op.get_bind()).get_columns(DICTIONARY_TABLE)
    if "until_hour" not in {column["name"] for column in columns}:
        op.execute(COLUMNS)
        for statement in FILL:
            op.execute(statement)
