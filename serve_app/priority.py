"""Start in the background, serve at normal priority.

A new Python process imports for seconds at full load, and on few cores takes them from the
processes that answer requests. So ours are started at low priority where the system lets them
come back from it (``setup.local``: as root), and raise themselves once they are ready.
"""

import logging
import os

logger = logging.getLogger(__name__)

NORMAL = 0


def to_normal() -> None:
    """Raise every thread of this process to normal priority; it stays as it is if forbidden."""
    try:
        # To Linux, niceness is a thread's: os.setpriority on the process moves only the main one.
        for thread in os.listdir("/proc/self/task"):
            if os.getpriority(os.PRIO_PROCESS, int(thread)) > NORMAL:
                os.setpriority(os.PRIO_PROCESS, int(thread), NORMAL)
    except OSError as error:
        logger.warning("runs at low priority: %s", error)
