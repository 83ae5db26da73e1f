"""Start in the background, serve at normal priority.

A new Python process imports for seconds at full load, and on few cores takes them from the
processes that answer requests. So ours are started at low priority where the system lets them
come back from it (``setup.local``: as root), and raise themselves once they are ready.
"""

import contextlib
import logging
import os
from typing import Final

logger = logging.getLogger(__name__)

NORMAL: Final = 0
INGRESS: Final = -10
"""HAProxy: it hands requests on, and holds back what is too many; for both it must be in time."""


def set_own(niceness: int) -> None:
    """Of this process, before it has threads; it stays as it is if forbidden (not root)."""
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, niceness)


def to_normal() -> None:
    """Raise every thread of this process to normal priority; it stays as it is if forbidden."""
    try:
        # To Linux, niceness is a thread's: os.setpriority on the process moves only the main one.
        for thread in os.listdir("/proc/self/task"):
            if os.getpriority(os.PRIO_PROCESS, int(thread)) > NORMAL:
                os.setpriority(os.PRIO_PROCESS, int(thread), NORMAL)
    except OSError as error:
        logger.warning("runs at low priority: %s", error)
