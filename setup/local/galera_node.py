"""The state of a Galera node, asked through its unix socket as the database's root."""

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pymysql

from setup.local.tools import current_user

# https://galeracluster.com/library/documentation/galera-status-variables.html
_QUESTION: Final = (
    "SHOW GLOBAL STATUS WHERE Variable_name IN ('wsrep_cluster_size', 'wsrep_cluster_status', "
    "'wsrep_local_state_comment', 'wsrep_ready', 'Threads_connected')"
)
_IN_STEP: Final = {"Synced", "Donor/Desynced"}


@dataclass(frozen=True)
class NodeState:
    """One node as it sees itself."""

    primary: bool
    """Belongs to the primary component, so to a majority: the only one that may commit."""
    ready: bool
    """In step with the others, and takes statements."""
    comment: str
    """Galera's word: Synced, Joining, Donor/Desynced, Initialized (no majority), …"""
    cluster_size: int
    """Nodes in its component."""
    connections: int
    """Open sessions, this one included."""


class NodeSession:
    """A connection to one node, opened at need and again after it broke."""

    def __init__(self, socket: Path, timeout_s: float = 1.0) -> None:
        """``timeout_s`` bounds connecting and answering, each."""
        self._socket = socket
        self._timeout_s = timeout_s
        self._connection: pymysql.Connection[pymysql.cursors.Cursor] | None = None

    def state(self) -> NodeState | None:
        """Ask it; None when it does not answer (starts, ended, hangs, or waits for its data)."""
        try:
            if self._connection is None:
                self._connection = pymysql.connect(
                    unix_socket=str(self._socket),
                    # The user that runs the server is root, without a password (see mariadb.py).
                    user=current_user(),
                    connect_timeout=max(1, round(self._timeout_s)),
                    read_timeout=self._timeout_s,
                    # Or PyMySQL reads all certificates of the system first, in 20 ms of processor
                    # time, for each attempt to connect to a server that is down.
                    ssl_disabled=True,
                )
            with self._connection.cursor() as cursor:
                cursor.execute(_QUESTION)
                values = {str(name).lower(): str(value) for name, value in cursor.fetchall()}
        except (pymysql.MySQLError, OSError):
            self.close()
            return None
        comment = values.get("wsrep_local_state_comment", "")
        primary = values.get("wsrep_cluster_status") == "Primary"
        return NodeState(
            primary=primary,
            # A donor goes on taking statements while it copies its data to a joiner.
            ready=primary and comment in _IN_STEP and values.get("wsrep_ready") == "ON",
            comment=comment,
            cluster_size=int(values.get("wsrep_cluster_size", "0")),
            connections=int(values.get("threads_connected", "0")),
        )

    def close(self) -> None:
        """Close the connection; `state` opens a new one."""
        if self._connection is not None and self._connection.open:
            # Sends a goodbye and waits for no answer.
            with contextlib.suppress(pymysql.MySQLError, OSError):
                self._connection.close()
        self._connection = None
