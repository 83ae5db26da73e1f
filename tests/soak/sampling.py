"""Samples a running platform: processes, disk, tables, partitions."""

import os
from pathlib import Path
from typing import Any, Final

import psutil
from pymysql.err import MySQLError

from serve_app.core.names import (
    AGGREGATES_TABLE,
    DICTIONARY_TABLE,
    DIMENSION_BRAND,
    DIMENSION_CATEGORY,
    DIMENSION_ORIGIN,
    ROLLUPS_TABLE,
)
from setup.local.leftovers import PART_MARK, marked_processes
from setup.local.platform import Platform
from setup.local.status import partition_statuses
from tests.bulk.tables import connect
from tests.soak.results import Process

DIMENSIONS: Final = {
    DIMENSION_ORIGIN: "origin",
    DIMENSION_BRAND: "brand_id",
    DIMENSION_CATEGORY: "category_id",
}
_BLOCK_BYTES: Final = 512


def processes(root: Path) -> dict[str, Process]:
    """All processes of the instance, by name and pid."""
    found = {}
    for process in marked_processes(root):
        try:
            with process.oneshot():
                found[f"{_name(process)} {process.pid}"] = Process(
                    process.memory_info().rss, process.num_fds(), process.num_threads()
                )
        except (psutil.Error, OSError):
            continue
    return found


def _name(process: psutil.Process) -> str:
    """Workers have the title that Ray gives them; stores the name of their part."""
    command = process.cmdline()
    if command and command[0].startswith("ray::"):
        # After the dot comes the method that is running.
        return command[0].removeprefix("ray::").split()[0].split(".")[0].split("#")[0]
    if process.name() in ("raylet", "gcs_server", "haproxy"):
        return process.name()
    part = process.environ().get(PART_MARK)
    if part and part != "ray":
        return part
    if "-m" in command[:-1]:
        return command[command.index("-m") + 1]
    scripts = [Path(word).name for word in command if word.endswith(".py")]
    return scripts[0] if scripts else process.name()


def disk(root: Path) -> dict[str, int]:
    """Bytes on disk by folder: the stores' data, the logs, Ray's session."""
    folders = [*sorted((root / "data").glob("*")), root / "logs", root / "ray"]
    return {str(one.relative_to(root)): _used_bytes(one) for one in folders if one.is_dir()}


def _used_bytes(folder: Path) -> int:
    total = 0
    for where, _, files in os.walk(folder):
        for file in files:
            try:
                total += os.lstat(os.path.join(where, file)).st_blocks * _BLOCK_BYTES
            except OSError:
                continue
    return total


def tables(platform: Platform) -> tuple[dict[str, int], dict[str, int], dict[str, int]]:
    """(rows by table, partitions by table, names by dimension); empty while MariaDB is down."""
    rows: dict[str, int] = {}
    partitions: dict[str, int] = {}
    names: dict[str, int] = {}
    try:
        with (
            connect(platform.settings(), read_timeout_s=10) as connection,
            connection.cursor() as cursor,
        ):
            cursor.execute(
                "SELECT TABLE_NAME, SUM(TABLE_ROWS), COUNT(*) FROM information_schema.PARTITIONS "
                "WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME IN "
                f"('{AGGREGATES_TABLE}', '{ROLLUPS_TABLE}') GROUP BY TABLE_NAME"
            )
            for name, count, number in cursor.fetchall():
                rows[name], partitions[name] = int(count or 0), int(number)
            cursor.execute(f"SELECT dimension, COUNT(*) FROM {DICTIONARY_TABLE} GROUP BY dimension")
            names = {DIMENSIONS[number]: int(count) for number, count in cursor.fetchall()}
    except (OSError, MySQLError):
        pass
    return rows, partitions, names


def lag(platform: Platform) -> int | None:
    """Records not counted yet; None if a partition does not report it."""
    try:
        statuses: list[Any] = list(partition_statuses(platform))
    except (OSError, ValueError, KeyError):
        return None
    lags = [status.get("lag") for status in statuses]
    return None if None in lags else sum(lags)
