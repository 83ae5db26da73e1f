"""Cuts one process off from some ports, while all others reach them.

Duplicates the sockets of the process (``pidfd_getfd(2)``) and attaches a socket filter that accepts
nothing (``SO_ATTACH_FILTER``, socket(7)), which discards whatever arrives: data, acknowledgements,
FIN. Connections stay open, as behind a network that swallows packets. New connections of the
process are cut when a poll finds them, within hundredths of a second.
"""

import ctypes
import os
import socket
import struct
import threading
from collections.abc import Collection, Iterator
from contextlib import suppress
from typing import Final

_PIDFD_GETFD: Final = 438
"""Number of the system call, the same on every architecture."""
_SO_ATTACH_FILTER: Final = 26
_SO_DETACH_FILTER: Final = 27
_EVERY_S: Final = 0.01
_libc: Final = ctypes.CDLL(None, use_errno=True)


class NotAllowedError(Exception):
    """The kernel denies access to the sockets of that process."""


class CutProcess:
    """Until `mend`, discards what arrives from the ports, on old and new connections."""

    def __init__(self, pid: int, ports: Collection[int]) -> None:
        """Cuts existing connections, and polls for new ones in a thread.

        Args:
            pid: the process.
            ports: remote ports of its connections.

        Raises:
            NotAllowedError: not root, or a security module forbids it.
        """
        self._pid = pid
        self._ports = frozenset(ports)
        self._cut: list[socket.socket] = []
        self._seen: set[tuple[int, int]] = set()
        """(descriptor, inode) of files already examined."""
        self._over = threading.Event()
        self._look()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    @property
    def connections(self) -> int:
        """Number of connections cut so far."""
        return len(self._cut)

    def mend(self) -> None:
        """Let data through again; TCP retransmits what was discarded."""
        self._over.set()
        self._thread.join()
        for one in self._cut:
            let_in(one)
            one.close()
        self._cut.clear()

    def _watch(self) -> None:
        while not self._over.wait(_EVERY_S):
            with suppress(ProcessLookupError, FileNotFoundError):
                self._look()

    def _look(self) -> None:
        for number, inode in sockets_of(self._pid):
            if (number, inode) in self._seen:
                continue
            one = borrow(self._pid, number)
            if one is None:
                continue
            port = _peer_port(one)
            # Not connected yet: examine it again.
            if port:
                self._seen.add((number, inode))
            if port in self._ports:
                let_nothing_in(one)
                self._cut.append(one)
            else:
                one.close()


def sockets_of(pid: int) -> Iterator[tuple[int, int]]:
    """(descriptor, inode) of each socket of a process."""
    folder = f"/proc/{pid}/fd"
    for name in os.listdir(folder):
        with suppress(FileNotFoundError):
            target = os.readlink(f"{folder}/{name}")
            if target.startswith("socket:["):
                yield int(name), int(target[8:-1])


def borrow(pid: int, number: int) -> socket.socket | None:
    """A duplicate of a socket of another process; None if it is gone.

    Raises:
        NotAllowedError: see `CutProcess`.
    """
    process = os.pidfd_open(pid)
    try:
        mine = _libc.syscall(_PIDFD_GETFD, process, number, 0)
    finally:
        os.close(process)
    if mine < 0:
        error = ctypes.get_errno()
        if error == 1:
            raise NotAllowedError(f"no access to sockets of process {pid}: {os.strerror(error)}")
        return None
    return socket.socket(fileno=mine)


def let_nothing_in(one: socket.socket) -> None:
    """Discard what arrives; on a listening socket, new connections."""
    # One instruction of classic BPF, "return 0": keep 0 bytes of the packet.
    program = ctypes.create_string_buffer(struct.pack("HBBI", 0x06, 0, 0, 0))
    pointer = struct.pack("HL", 1, ctypes.addressof(program))
    one.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, pointer)


def let_in(one: socket.socket) -> None:
    """Undo `let_nothing_in`."""
    with suppress(OSError):
        one.setsockopt(socket.SOL_SOCKET, _SO_DETACH_FILTER, 0)


def _peer_port(one: socket.socket) -> int:
    if one.family not in (socket.AF_INET, socket.AF_INET6):
        return -1
    try:
        return int(one.getpeername()[1])
    except OSError:
        # Listening, or still connecting.
        return 0
