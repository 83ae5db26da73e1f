"""``python -m setup.ingress.leave SECONDS``: run by a Ray worker's pod before Ray is stopped in it.

From now on each answer of its HAProxy closes the connection that it goes to. Clients that would
keep one for long, and wait for replicas that are gone in the end, so come to another host. All else
goes on, for as long as the rules of kube-proxy and of a balancer still lead here. (HAProxy's own
soft stop closes its admin socket, too: Serve takes it for ill, and kills it within 3 s.)

Not left to Ray's draining: while a RayCluster is removed, its head may be gone first.
"""

import socket
import sys
import time
from pathlib import Path
from typing import Final

from setup.ingress.config import leaving_file

FOLDER: Final = Path("/tmp/haproxy-serve")
"""Below it Serve has a folder for each of its HAProxies."""
_EVERYONE: Final = ("0.0.0.0/0", "::/0")


def leave(folder: Path) -> None:
    """Have the HAProxy of this folder part with its clients, also one that is started later.

    Raises:
        OSError: it does not listen to its admin socket.
    """
    file = leaving_file(folder)
    file.write_text("".join(f"{network}\n" for network in _EVERYONE))
    for network in _EVERYONE:
        with socket.socket(socket.AF_UNIX) as admin:
            admin.settimeout(5)
            admin.connect(str(folder / "admin.sock"))
            admin.sendall(f"add acl {file} {network}\n".encode())
            # Its answer is empty, unless it has no such list.
            admin.shutdown(socket.SHUT_WR)
            if answer := admin.recv(4096).strip():
                raise OSError(answer.decode(errors="replace"))


def main(seconds: str, below: Path = FOLDER) -> None:
    """Nothing that goes wrong may hold up the pod's end, nor hasten it.

    Again each second: a HAProxy that is starting has read the list, and does not listen yet.
    """
    until_s = time.monotonic() + float(seconds)
    while True:
        try:
            for file in below.glob("**/haproxy.cfg"):
                leave(file.parent)
        except OSError as error:
            print(f"leave: {error}", file=sys.stderr)
        left_s = until_s - time.monotonic()
        if left_s <= 0:
            return
        time.sleep(min(left_s, 1.0))


if __name__ == "__main__":
    main(sys.argv[1])
