"""Aggregates, roll-ups, offsets and the dictionary."""

from collections.abc import Sequence

from alembic import op

from serve_app.core.names import (
    AGGREGATES_TABLE,
    DICTIONARY_TABLE,
    OFFSETS_TABLE,
    ROLLUPS_TABLE,
)

revision: str = "0001"
down_revision: str | None = None
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

# Hourly table partitions are made ahead by the actors (aggregates/table_partitions.py). What has
# none yet falls into the catch-all, so that no insert ever fails for want of a partition.
PARTITIONED = "PARTITION BY RANGE (bucket) (PARTITION p_rest VALUES LESS THAN MAXVALUE)"

AGGREGATES = f"""
CREATE TABLE IF NOT EXISTS {AGGREGATES_TABLE} (
    bucket INT UNSIGNED NOT NULL COMMENT 'epoch minutes; unsigned reaches the year 9999',
    action TINYINT UNSIGNED NOT NULL COMMENT '0 VIEW, 1 BUY',
    origin_id INT UNSIGNED NOT NULL COMMENT 'dictionary.id; 0 past the cap on names',
    brand_id INT UNSIGNED NOT NULL,
    category_id INT UNSIGNED NOT NULL,
    kafka_partition SMALLINT UNSIGNED NOT NULL COMMENT 'each row has one writer',
    count BIGINT NOT NULL,
    sum_price BIGINT NOT NULL COMMENT 'signed, as prices are',
    PRIMARY KEY (bucket, action, origin_id, brand_id, category_id, kafka_partition),
    KEY by_brand_category (bucket, action, brand_id, category_id, count, sum_price),
    KEY by_category_origin (bucket, action, category_id, origin_id, count, sum_price)
) ENGINE = InnoDB {PARTITIONED}
"""

ROLLUPS = f"""
CREATE TABLE IF NOT EXISTS {ROLLUPS_TABLE} (
    bucket INT UNSIGNED NOT NULL COMMENT 'epoch minutes',
    action TINYINT UNSIGNED NOT NULL COMMENT '0 VIEW, 1 BUY',
    dimension TINYINT UNSIGNED NOT NULL COMMENT '0 total, 1 origin, 2 brand, 3 category',
    value_id INT UNSIGNED NOT NULL COMMENT 'dictionary.id; 0 for the total',
    kafka_partition SMALLINT UNSIGNED NOT NULL,
    count BIGINT NOT NULL,
    sum_price BIGINT NOT NULL,
    PRIMARY KEY (bucket, action, dimension, value_id, kafka_partition)
) ENGINE = InnoDB {PARTITIONED}
"""

OFFSETS = f"""
CREATE TABLE IF NOT EXISTS {OFFSETS_TABLE} (
    kafka_partition SMALLINT UNSIGNED NOT NULL PRIMARY KEY,
    topic_id CHAR(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL COMMENT 'UUID, hexadecimal',
    next_offset BIGINT NOT NULL COMMENT 'first offset that is not counted yet',
    watermark_ms BIGINT NULL COMMENT 'newest event time counted, epoch ms',
    updated_at TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3)
        ON UPDATE CURRENT_TIMESTAMP(3)
) ENGINE = InnoDB
"""

# VARBINARY, because text collations of both servers take 'Nike' and 'Nike ' for the same.
# 512 bytes: 128 characters (serve_app.core.tag) of at most 4.
DICTIONARY = f"""
CREATE TABLE IF NOT EXISTS {DICTIONARY_TABLE} (
    id INT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
    dimension TINYINT UNSIGNED NOT NULL,
    name VARBINARY(512) NOT NULL COMMENT 'UTF-8',
    UNIQUE KEY by_name (dimension, name)
) ENGINE = InnoDB
"""


def upgrade() -> None:
    """Make what is not there."""
    for statement in (AGGREGATES, ROLLUPS, OFFSETS, DICTIONARY):
        op.execute(statement)
