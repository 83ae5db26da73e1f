"""What the platform needs to know of a server to run it."""

from enum import StrEnum
from pathlib import Path
from typing import ClassVar, Protocol

from setup.local.supervision import Program


class Kind(StrEnum):
    """The kind of server that a part belongs to; `up` starts parts by kind."""

    REDIS = "redis"
    KAFKA = "kafka"
    MARIADB = "mariadb"
    RAY = "ray"
    PROMETHEUS = "prometheus"


class Part(Protocol):
    """One server process.

    Its settings are a pure function of stack, ports and folder, so that comparing them with
    those on disk tells whether a running server must be restarted.
    """

    kind: ClassVar[Kind]

    @property
    def name(self) -> str:
        """Unique in the instance, such as ``redis-1``."""

    @property
    def ports(self) -> dict[str, int]:
        """Ports that must be free before it starts; the first one is the one to show."""

    def files(self) -> dict[Path, str]:
        """Settings files with their content; they may hold secrets."""

    def prepare(self) -> None:
        """Make its data when absent (idempotent); PartFailedError or MissingToolError."""

    def program(self) -> Program:
        """How to run it."""

    def problem(self) -> str | None:
        """Ask it: None when it serves, else what is wrong. Takes a second or two at most."""
