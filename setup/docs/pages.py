"""Which pages are generated, and what each should hold."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

from setup.docs.configuration import configuration
from setup.docs.metrics import metrics_page
from setup.local.folder import CHECKOUT

PAGES: Final[dict[Path, Callable[[], str]]] = {
    CHECKOUT / "docs/configuration.md": configuration,
    CHECKOUT / "docs/metrics.md": metrics_page,
}
