"""The run folders that the commands use: that of ``up``, and that of ``make run``."""

from pathlib import Path

from setup.local.folder import CHECKOUT
from setup.local.leftovers import marked_processes


def main_root(stack: str) -> Path:
    """Run folder of `up`: its data are kept."""
    return CHECKOUT / ".run" / stack


def fresh_root(stack: str) -> Path:
    """Run folder of `fresh` (``make run``): emptied at each start, apart from kept data."""
    return CHECKOUT / ".run" / f"{stack}-run"


def roots(stack: str) -> list[Path]:
    """All run folders of a stack that exist."""
    return [root for root in (main_root(stack), fresh_root(stack)) if root.is_dir()]


def current_root(stack: str) -> Path:
    """The run folder of the instance that runs, or else that of `up`."""
    running = [root for root in roots(stack) if marked_processes(root)]
    return running[0] if running else main_root(stack)
