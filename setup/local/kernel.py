"""A setting of Linux that makes answers late.

With autogroups (``kernel.sched_autogroup_enabled``, meant for desktops) the processor is shared by
session first. Linux's own threads are in no session: on a core that one session keeps busy,
``ksoftirqd``, which hands over every packet, waited up to 0.5 s (kernel 6.18, two cores;
tests/bench/README.md), and each request whose packet it had with it. Without, 5 ms at most.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

AUTOGROUPS: Final = Path("/proc/sys/kernel/sched_autogroup_enabled")
KEEP: Final = "TAGS_KEEP_AUTOGROUPS"
"""Environment variable; any text in it, and the setting is left as it is."""


def switch_off_autogroups(say: Callable[[str], None], setting: Path = AUTOGROUPS) -> None:
    """Until the next boot, for all that is started from now on; ``say`` is told what was done.

    Never raises: without the right to do it (root) the platform runs as well, and is late at times.
    """
    try:
        if os.environ.get(KEEP) or setting.read_text().strip() != "1":
            return
    except OSError:
        # Another system, or a Linux that was built without.
        return
    try:
        setting.write_text("0\n")
    except OSError:
        say("kernel.sched_autogroup_enabled is 1: requests may be late. Root can set it to 0")
    else:
        say(f"set kernel.sched_autogroup_enabled to 0, or requests are late ({KEEP}=1 keeps it)")
