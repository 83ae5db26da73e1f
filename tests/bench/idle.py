"""What the platform takes while nobody asks anything: cores by part.

`python -m tests.bench.idle [--seconds 60]` starts its own platform, waits until the load of
starting is over, and adds up the processor time of its processes.

Exit status 1 if it takes more than 0.25 of a core.
"""

import time
from typing import Final

from setup.command_line import run_main
from tests.bench._platform import bench_platform
from tests.bench._processes import processor_times
from tests.results.recording import Recording

GOAL: Final = 0.25
_REST_S: Final = 30


def main(seconds: float = 60.0) -> int:
    """Exit status: see above."""
    recording = Recording("idle")
    with bench_platform() as platform:
        time.sleep(_REST_S)
        before_s, started_s = processor_times(platform.folder.root), time.monotonic()
        time.sleep(seconds)
        after_s, passed_s = processor_times(platform.folder.root), time.monotonic() - started_s
    cores = {part: (after_s[part] - before_s[part]) / passed_s for part in before_s}
    rows = sorted(cores.items(), key=lambda row: -row[1])
    recording.table("parts", ("part", "cores"), ((part, f"{used:.3f}") for part, used in rows))
    whole = round(sum(cores.values()), 3)
    recording.figure("cores_of_all", whole, at_most=GOAL)
    most = ", ".join(f"{part} {used:.2f}" for part, used in rows[:4])
    kept = recording.finish(f"idle, the platform takes {whole:.2f} of a core: {most}")
    return 0 if kept else 1


if __name__ == "__main__":
    run_main(main, __doc__)
