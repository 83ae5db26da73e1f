"""Disk space that a run needs, checked before it starts."""

import shutil
from pathlib import Path
from typing import Final

from tests.bulk.hours import HOUR_TAGS, PARTITIONS

GIB: Final = 1024**3
TABLE_BYTES_A_TAG: Final = 270
"""Files of both tables with their keys, measured; pages are filled by about two thirds."""
LOG_BYTES_A_TAG: Final = 270
KEPT_LOG_BYTES: Final = 2 * GIB
"""Log size per partition: older segments are dropped, about six hours behind the newest."""
LOG_SLACK_BYTES: Final = 4 * GIB
"""What Kafka may have beyond that, as it deletes old segments only every five minutes."""
MARGIN_BYTES: Final = 4 * GIB
"""Redo log, the servers' own files, and what the rest of the machine needs."""


class TooLittleSpace(Exception):
    """The message has the missing space."""


def needed_bytes(tags: int, loaded_tags: int) -> int:
    """Bytes to get from ``loaded_tags`` to ``tags``."""
    missing = max(0, tags - loaded_tags)
    log = min(missing * LOG_BYTES_A_TAG, PARTITIONS * KEPT_LOG_BYTES + LOG_SLACK_BYTES)
    return missing * TABLE_BYTES_A_TAG + log + MARGIN_BYTES


def check_disk(folder: Path, tags: int, loaded_tags: int) -> None:
    """Raise ``TooLittleSpace`` unless the rest of the run fits."""
    free, needed = shutil.disk_usage(folder).free, needed_bytes(tags, loaded_tags)
    if free < needed:
        raise TooLittleSpace(
            f"{(tags - loaded_tags) / HOUR_TAGS:.2f} more hours need about {needed / GIB:.0f} GiB "
            f"on the disk of {folder}, and {free / GIB:.0f} GiB are free: take fewer HOURS"
        )
