"""Clients that never pause: tags accepted and refused while 64, 256 and 1,000 of them ask on.

`python -m tests.bench.closed_loop [--seconds 15] [--rounds 2]`: starts its own platform and runs
`wrk <https://github.com/wg/wrk>`_ with one thread (Debian's package, installed when absent). Each
connection sends its next tag as soon as it has an answer to the one before. The numbers of clients
take turns.

Exit status 1 unless 256 and 1,000 clients get at least 0.8 of the tags accepted that 64 get, in the
mean of all rounds, and nothing is answered but 204 and 503.
"""

import json
import re
import statistics
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from setup.command_line import run_main
from setup.local.folder import CHECKOUT
from tests.bench._platform import bench_platform
from tests.results.recording import Recording
from tests.tags import new_tag

NUMBERS: Final = (64, 256, 1_000)
GOAL: Final = 0.8
COLUMNS: Final = (
    "clients",
    "204 a second",
    "503 a second",
    "other answers",
    "no answer",
    "p50 / p99 of all answers, ms",
)
_WARM_UP_S: Final = 15
# Status codes are counted in wrk's thread and read once it is done.
_SCRIPT: Final = """
local head, tail = [[%(head)s]], [[%(tail)s]]
local threads, number = {}, 0
function setup(thread) table.insert(threads, thread) end
function init(args) accepted, refused, other = 0, 0, 0 end
function request()
    number = number + 1
    return wrk.format("POST", "/user_tags", {["Content-Type"] = "application/json"},
        head .. (number %% 10000) .. tail)
end
function response(status)
    if status == 204 then accepted = accepted + 1
    elseif status == 503 then refused = refused + 1
    else other = other + 1 end
end
function done(summary, latency, requests)
    local thread, errors = threads[1], summary.errors
    print(string.format("result %%d %%d %%d %%d %%d %%d %%d",
        thread:get("accepted"), thread:get("refused"), thread:get("other"),
        errors.connect + errors.read + errors.write + errors.timeout, summary.duration,
        latency:percentile(50), latency:percentile(99)))
end
"""


@dataclass(frozen=True)
class Run:
    """What one number of clients got."""

    clients: int
    accepted: int
    refused: int
    other: int
    unanswered: int
    duration_us: int
    p50_us: int
    p99_us: int

    @property
    def accepted_a_second(self) -> float:
        """Tags answered with 204."""
        return self.accepted / self.duration_us * 1e6

    def cells(self) -> tuple[str, ...]:
        """A row of the table."""
        return (
            f"{self.clients:,}",
            f"{self.accepted_a_second:,.0f}",
            f"{self.refused / self.duration_us * 1e6:,.0f}",
            str(self.other),
            str(self.unanswered),
            f"{self.p50_us / 1e3:.0f} / {self.p99_us / 1e3:.0f}",
        )


def script() -> str:
    """Of wrk: one of 10,000 cookies after the other."""
    mark = "COOKIE"
    body = json.dumps(new_tag(mark, "2022-03-01T00:00:00.649Z"))
    head, _, tail = body.partition(mark)
    return _SCRIPT % {"head": head, "tail": tail}


def run_wrk(port: int, clients: int, seconds: int, file: Path) -> Run:
    """Raises ``subprocess.CalledProcessError`` if it fails."""
    command = ("wrk", "-t1", f"-c{clients}", f"-d{seconds}s", "--timeout", "10s", "-s", str(file))
    printed = subprocess.run(
        (*command, f"http://127.0.0.1:{port}"),
        check=True,
        capture_output=True,
        text=True,
        # Its own share of the processors, as a client on another machine would have.
        start_new_session=True,
    ).stdout
    result = re.search(r"^result ([\d ]+)$", printed, re.MULTILINE)
    assert result, printed
    return Run(clients, *map(int, result[1].split()))


def main(seconds: int = 15, rounds: int = 2) -> int:
    """Exit status: see above."""
    subprocess.run((CHECKOUT / "setup/install.sh", "wrk"), check=True)
    recording, runs = Recording("closed-loop"), []
    with tempfile.TemporaryDirectory() as folder, bench_platform() as platform:
        file = Path(folder) / "tags.lua"
        file.write_text(script())
        run_wrk(platform.http_port, NUMBERS[0], _WARM_UP_S, file)
        print(f"| {' | '.join(COLUMNS)} |", flush=True)
        for clients in NUMBERS * rounds:
            runs.append(run_wrk(platform.http_port, clients, seconds, file))
            print(f"| {' | '.join(runs[-1].cells())} |", flush=True)
    recording.table("clients", COLUMNS, (run.cells() for run in runs))
    accepted = {
        number: statistics.mean(run.accepted_a_second for run in runs if run.clients == number)
        for number in NUMBERS
    }
    few, *more = NUMBERS
    recording.figure(f"accepted_a_second_of_{few}", round(accepted[few]))
    for number in more:
        share = round(accepted[number] / accepted[few], 3)
        recording.figure(f"accepted_share_of_{number}", share, at_least=GOAL)
    recording.figure("other_answers", sum(run.other for run in runs), at_most=0)
    kept = recording.finish(
        f"clients that never pause: {accepted[few]:,.0f} tags/s accepted of {few}, "
        + ", ".join(
            f"{accepted[number] / accepted[few]:.2f} of that of {number:,}" for number in more
        )
    )
    return 0 if kept else 1


if __name__ == "__main__":
    run_main(main, __doc__)
