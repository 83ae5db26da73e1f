"""The table of `status`: each part's port, pid and health; lag and watermark per partition."""

import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from rich.console import Console, Group
from rich.table import Table

from serve_app.core.names import CASE3_ROUTE
from setup.local.errors import SetupError
from setup.local.http_get import fetch
from setup.local.memory import memory_by_part
from setup.local.parts.part import Part
from setup.local.platform import Platform
from setup.local.roles import roles


def show_status(platform: Platform, console: Console) -> bool:
    """Print the table; whether every part is healthy."""
    states = platform.supervisor.states()
    parts = list(platform.parts)
    prometheus = states.get(platform.prometheus.name)
    if prometheus and prometheus.pid:
        parts.append(platform.prometheus)
    with ThreadPoolExecutor() as pool:
        asked = pool.submit(roles, platform)
        problems = list(pool.map(_problem, parts))
    memory = memory_by_part(platform.folder.root)
    table = Table(title=f"{platform.stack.name} in {platform.folder.root}", title_justify="left")
    for column in ("part", "port", "pid", "state", "memory", "role", "health"):
        table.add_column(column)
    for part, problem in zip(parts, problems, strict=True):
        state = states.get(part.name)
        table.add_row(
            part.name,
            str(next(iter(part.ports.values()))),
            str(state.pid) if state and state.pid else "-",
            state.state.lower() if state else "no supervisor",
            f"{memory[part.name] / 2**20:,.0f} MiB" if memory[part.name] else "-",
            asked.result().get(part.name, ""),
            "[green]ok[/]" if problem is None else f"[red]{problem}[/]",
        )
    table.caption = f"{memory.total() / 2**30:.1f} GiB in all"
    console.print(Group(table, _applications(platform), *_views(platform)))
    return not any(problems)


def partition_statuses(platform: Platform) -> list[Mapping[str, Any]]:
    """The status of each partition from its actor; OSError or ValueError without an answer."""
    token = platform.settings().api_token.get_secret_value()
    answer = json.loads(fetch(f"{platform.ray.url}{CASE3_ROUTE}/status", timeout_s=10, token=token))
    partitions: list[Mapping[str, Any]] = answer["partitions"]
    return partitions


def _problem(part: Part) -> str | None:
    try:
        return part.problem()
    except SetupError as error:
        return str(error)


def _applications(platform: Platform) -> Table | str:
    try:
        applications = platform.ray.applications()
    except (OSError, ValueError):
        return "Serve: no answer"
    table = Table("application", "deployment", "status", "replicas")
    for name, application in applications.items():
        for deployment, report in application["deployments"].items():
            states = [replica["state"] for replica in report["replicas"]]
            replicas = ", ".join(f"{states.count(s)} {s.lower()}" for s in sorted(set(states)))
            table.add_row(name, deployment, report["status"].lower(), replicas)
    return table


def _views(platform: Platform) -> list[Table | str]:
    """How far the aggregates of each partition are, and the profiles of each shard."""
    try:
        statuses = partition_statuses(platform)
    except (OSError, ValueError, KeyError) as error:
        return [f"partitions: no answer from {CASE3_ROUTE}/status ({error})"]
    columns = ("partition", "state", "offset", "log_end", "lag", "watermark", "last_flush", "rows")
    aggregates = Table(*columns, title="aggregates", title_justify="left")
    columns_of_profiles = ("shard", "lane", "state", "offset", "log_end", "lag", "slots")
    profiles = Table(
        "partition", *columns_of_profiles, "lost before", title="profiles", title_justify="left"
    )
    for status in statuses:
        aggregates.add_row(*_cells(status, columns))
        for feed in status.get("profiles", ()):
            profiles.add_row(
                str(status["partition"]), *_cells(feed, (*columns_of_profiles, "lost_before"))
            )
    return [aggregates, profiles]


def _cells(row: Mapping[str, Any], columns: Sequence[str]) -> list[str]:
    return ["-" if row.get(column) is None else str(row[column]) for column in columns]
