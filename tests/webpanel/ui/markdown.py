"""A report as Markdown."""

from typing import Any

_REQUESTS = (
    ("tags", "user_tags", "User tags"),
    ("profiles", "user_profiles", "Profile queries"),
    ("aggregates", "aggregates", "Aggregate queries"),
)
_REQUEST_COLUMNS = {
    "sent": "sent",
    "status_2xx": "2xx",
    "status_4xx": "4xx",
    "status_5xx": "5xx",
    "status_other": "other status",
    "connect": "connect",
    "read_timeout": "time-out",
    "other": "other",
    "dropped": "dropped",
}
_FIGURES = ("p50", "p90", "p99", "p99.9", "max")
_WRONG_SHOWN = 10


def _table(head: list[str], rows: list[list[Any]]) -> list[str]:
    lines = [head, ["---"] + ["--:"] * (len(head) - 1), *rows]
    return [f"| {' | '.join(str(cell) for cell in line)} |" for line in lines] + [""]


def _thousands(number: float) -> str:
    return f"{number:,}"


def markdown(report: dict[str, Any]) -> str:
    """The counters of the contract, latencies, the score and the latest wrong answers."""
    counters, parameters = report["counters"], report["parameters"]
    verdict = "flawless" if report["flawless"] else "not flawless"
    lines = [
        f"# Web Panel report: {report['state']}, {verdict}, score {counters['score']:,.1f}",
        "",
        f"- target: {parameters['host']}:{parameters['port']}",
        f"- rate {parameters['rate']:g} tags/s, length {parameters['duration_s']:g} s, seed "
        f"{parameters['seed']}, {parameters['step_ms']:g} ms of event time between two tags, "
        f"from {parameters['start']}",
        f"- started {report['started_at']}, ended {report['ended_at'] or 'not yet'}",
        f"- sent {counters['tags']['sent']:,} of {counters['total_tags']:,} tags "
        f"({counters['progress_percent']:.1f} %)",
    ]
    if report["error"]:
        lines += ["", "## Broken", "", "```", report["error"], "```"]
    lines += ["", "## Requests", ""]
    lines += _table(
        ["kind", *_REQUEST_COLUMNS.values()],
        [
            [title, *(_thousands(counters[key][name]) for name in _REQUEST_COLUMNS)]
            for key, _, title in _REQUESTS
        ],
    )
    lines += ["## Answers", ""]
    verdicts = ("ok", "wrong", "empty", "unanswered", "not_judged")
    lines += _table(
        ["query", "right", "wrong", "empty", "unanswered", "not judged"],
        [
            [title, *(_thousands(counters[key][name]) for name in verdicts)]
            for key, title in (("profile_answers", "profiles"), ("aggregate_answers", "aggregates"))
        ],
    )
    if latency := report.get("latency_ms"):
        lines += ["## Latency (ms, from the moment a request was due)", ""]
        lines += _table(
            ["kind", *_FIGURES],
            [[title, *(latency[kind][name] for name in _FIGURES)] for _, kind, title in _REQUESTS],
        )
        lag, panel = report["generator_lag_ms"], report["panel"]
        lines += [
            f"The panel itself: {panel['cores']:.3f} of a core, lag p99 {lag['p99']:g} ms, "
            f"max {lag['max']:g} ms.",
            "",
        ]
    if wrong := list(reversed(report["latest_wrong_answers"]))[:_WRONG_SHOWN]:
        lines += ["## Latest wrong answers", ""]
        for one in wrong:
            lines += [
                f"{one['number']}. at {one['at_s']:g} s, {one['verdict']}: {one['difference']}",
                "",
                "   ```",
                f"   {one['curl']}",
                "   ```",
                "",
            ]
    return "\n".join(lines).rstrip() + "\n"
