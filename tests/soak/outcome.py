"""A finished soak as a result: the rules, the figures behind them, and tables."""

from typing import Final

from tests.results.recording import Recording
from tests.soak.growth import Growth, memory, unjudged
from tests.soak.judge import bytes_a_tag, latencies, log_bytes, redis_memory
from tests.soak.quiet import KINDS, quiet_asked, quiet_drops
from tests.soak.results import Soak

_MIB: Final = 2**20
_TOP: Final = 15
DAY_S: Final = 86_400


def of_a_part(growths: list[Growth]) -> list[Growth]:
    """The fastest of each part, fastest first."""
    parts: dict[str, Growth] = {}
    for one in growths:
        parts.setdefault(one.part, one)
    return list(parts.values())


def record_queries(soak: Soak, recording: Recording) -> None:
    """How many of both kinds were asked, answered right, refused; and in quiet minutes."""
    for kind in KINDS:
        asked, right, unanswered = (
            sum(leg.counters.get(group, {}).get(key, 0) for leg in soak.legs)
            for group, key in (
                (f"{kind.name}s", "sent"),
                (f"{kind.name}_answers", "ok"),
                (f"{kind.name}_answers", "unanswered"),
            )
        )
        recording.figure(f"{kind.name} queries asked", asked)
        recording.figure(f"{kind.name} queries answered right", right)
        recording.figure(f"{kind.name} queries refused or not answered in time", unanswered)
        if quiet := quiet_asked(soak.samples, soak.events, kind):
            recording.figure(f"{kind.name} queries asked in quiet minutes", quiet[0])
            recording.figure(f"{kind.name} queries answered right in quiet minutes", quiet[1])


def record(soak: Soak, recording: Recording, *, later: bool = False) -> bool:
    """Write the result file; returns whether every rule was kept.

    ``later``: judged by other code than ran, maybe, so the note says what ran.
    """
    samples, legs, about = soak.samples, soak.legs, soak.about
    for rule, broken in soak.findings.items():
        recording.figure(f"broken: {rule}", int(bool(broken)), at_most=0)
    days = (samples[-1].event_ms - samples[0].event_ms) / 1_000 / DAY_S
    sent = sum(leg.counters.get("tags", {}).get("sent", 0) for leg in legs)
    dropped, quiet = quiet_drops(samples, soak.events)
    acknowledged, lost = (
        sum(getattr(leg, key) or 0 for leg in legs) for key in ("acknowledged", "lost")
    )
    recording.figure("tags sent", sent)
    recording.figure("acknowledged", acknowledged)
    recording.figure("acknowledged and lost", lost)
    recording.figure("dropped in minutes without a fault", dropped)
    recording.figure("sent in minutes without a fault", quiet)
    recording.figure("days of event time", round(days, 1))
    record_queries(soak, recording)
    growths = memory(samples, about["stack"])
    own = [one for one in growths if not one.most_bytes]
    if own:
        recording.figure("fastest growth of a process (% an hour)", round(100 * own[0].an_hour, 2))
    for what, (second, last) in latencies(samples).items():
        recording.figure(f"p99, {what}, last hour by second", round(last / max(second, 0.01), 2))
    for what, figure in (("Redis' memory", redis_memory), ("Kafka's log", log_bytes)):
        if hours := bytes_a_tag(samples, figure):
            recording.figure(f"{what} a tag, last hour (bytes)", round(hours[1]))
    recording.table(
        "memory",
        ("part", "MiB", "growth an hour", "may fill (MiB)"),
        [
            (
                one.part,
                f"{one.median_bytes / _MIB:.0f}",
                f"{one.an_hour:+.2%}",
                f"{one.most_bytes / _MIB:.0f}" if one.most_bytes else "-",
            )
            for one in of_a_part(growths)[:_TOP]
        ],
    )
    recording.table(
        "steps",
        ("minute", "what", "outcome"),
        [(f"{event.at_s / 60:.0f}", event.what, event.outcome) for event in soak.events],
    )
    recording.table(
        "disk",
        ("folder", "MiB in the end"),
        [(name, f"{size / _MIB:.0f}") for name, size in samples[-1].disk_bytes.items()],
    )
    wrong = (
        "0 wrong"
        if not soak.findings["nothing is wrong, nothing acknowledged is lost"]
        else "**wrong**"
    )
    notes = [f"Picture: soak-{about['stack']}.svg."]
    if later:
        begun = f"{legs[0].started}, {legs[0].commit}"
        notes.append(f"Judged later, and the machine measured then; begun {begun}.")
    if len(legs) > 1:
        notes.append(f"In {len(legs)} legs, of {', '.join(leg.commit for leg in legs)}.")
    if parts := unjudged(samples):
        notes.append(f"Too young to be judged after faults: {', '.join(parts)}.")
    notes += [f"{rule}: {broken}." for rule, broken in soak.findings.items() if broken]
    return recording.finish(
        f"{soak.seconds / 60:.0f} minutes at {about['rate']:g} tags/s on {about['stack']}, "
        f"{days:.1f} days of event time: {wrong}, {lost} of {acknowledged:,} acknowledged lost, "
        f"{len(soak.events)} steps: faults, a flood, a deploy, rebuilds",
        " ".join(notes),
    )
