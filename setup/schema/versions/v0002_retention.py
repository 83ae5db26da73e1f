"""How far back the tables go, and how many tags each hour holds."""

from collections.abc import Sequence

import sqlalchemy
from alembic import op

from serve_app.core.names import OFFSETS_TABLE

revision: str = "0002"
down_revision: str | None = "0001"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

# Beside the offset, because they have to move with it: whether a tag is too old is decided in the
# transaction that counts it.
COLUMNS = f"""
ALTER TABLE {OFFSETS_TABLE}
    ADD COLUMN first_kept_hour INT UNSIGNED NOT NULL DEFAULT 0
        COMMENT 'epoch hour; tags of earlier ones are late, and the tables may lack any of theirs',
    ADD COLUMN hour_tags TEXT CHARACTER SET ascii COLLATE ascii_bin NULL
        COMMENT 'JSON object: epoch hour of event time -> tags counted (actors/retention.py)'
"""


def upgrade() -> None:
    """Add what is not there: MySQL has no ADD COLUMN IF NOT EXISTS."""
    columns = sqlalchemy.inspect(op.get_bind()).get_columns(OFFSETS_TABLE)
    if "hour_tags" not in {column["name"] for column in columns}:
        op.execute(COLUMNS)
