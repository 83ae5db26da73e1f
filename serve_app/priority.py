"""Who goes first where the cores are full: every niceness of the platform, and who starts when.

========================================  ==========  ==========================================
HAProxy                                   `INGRESS`   hands requests on, holds back what is too
                                                      many; for both it must be in time
replicas, actors, Redis, Kafka, Ray       `NORMAL`
MariaDB                                   `MYSQL`     no answer of 200 ms waits for it, and three
                                                      that start again would make tags late
a new Python process, until it is ready   `START`     imports for seconds at full load; raises
                                                      itself with `to_normal`
Ray's metrics agent                       `METRICS`   counts every sample anew, all in one go
rebuild and verify                        `TOOLS`     taking tags goes first
a database that reads its own log         `LEFTOVER`  takes what all others leave
========================================  ==========  ==========================================

Start order, where several would fill the cores together:

- Stores start before Ray, all side by side (``Platform.up`` in setup/local/platform.py).
- While nobody is answered yet, all replicas and actors start at once.
- From then on a new Python process starts 2.5 s after the last one, or after 10 s of waiting
  (``setup/local/staggered_start``, which Ray runs in place of Python): imports of several at once
  fill two cores, and requests are late.
- Ray starts one worker process at a time
  (``RAY_worker_maximum_startup_concurrency`` in setup/local/conf/ray.env).

Niceness is that of sched(7). All processes of a platform are one session, and where Linux groups
processes by session (autogroups) niceness counts within it alone. The session itself is left as it
is, at 0: lower, it gives three times its share to whatever else the machine does (at 5: on two
cores with one busy process beside it, 322 to 3,675 of some thousand tags late; at 0: none to 16).
"""

import contextlib
import logging
import os
from collections.abc import Iterable
from typing import Final

logger = logging.getLogger(__name__)

INGRESS: Final = -10
NORMAL: Final = 0
MYSQL: Final = 10
START: Final = 10
METRICS: Final = 10
TOOLS: Final = 10
LEFTOVER: Final = 19


def to_normal() -> None:
    """Raise every thread of this process to normal priority; it stays as it is if forbidden."""
    try:
        # To Linux, niceness is a thread's: os.setpriority on the process moves only the main one.
        for thread in os.listdir("/proc/self/task"):
            if os.getpriority(os.PRIO_PROCESS, int(thread)) > NORMAL:
                os.setpriority(os.PRIO_PROCESS, int(thread), NORMAL)
    except OSError as error:
        logger.warning("runs at low priority: %s", error)


def set_own(niceness: int) -> None:
    """Of this process, before it has threads; it stays as it is if forbidden (not root)."""
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, niceness)


def set_threads(threads: Iterable[int], niceness: int) -> None:
    """Of all threads of another process; those that it starts later have that of their parent.

    Raises:
        ProcessLookupError: one has ended.
        PermissionError: not ours, or it would be raised without the privilege.
    """
    for thread in threads:
        os.setpriority(os.PRIO_PROCESS, thread, niceness)


def at(niceness: int) -> tuple[str, ...]:
    """What to put before a command that is to run so, from 0 up."""
    return ("nice", "-n", str(niceness))


def may_come_back() -> bool:
    """Whether this user's processes may leave a low priority again: not without a privilege."""
    own = os.getpriority(os.PRIO_PROCESS, 0)
    try:
        os.setpriority(os.PRIO_PROCESS, 0, own - 1)
    except PermissionError:
        return False
    os.setpriority(os.PRIO_PROCESS, 0, own)
    return True
