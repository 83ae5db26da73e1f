"""A Galera node's lock, held by the server that follows the script which took it."""

import subprocess
import sys
from pathlib import Path

from setup.local.galera_start import is_locked


def test_a_server_is_known_by_a_lock_that_ends_with_it(tmp_path: Path) -> None:
    path = tmp_path / "mariadb-2.server"
    assert not is_locked(path), "never started"
    script = (
        "import os, sys, pathlib, setup.local.galera_start as start\n"
        "start.keep_lock_for_life(pathlib.Path(sys.argv[1]))\n"
        "os.execv('/bin/cat', ['/bin/cat'])"
    )
    command = (sys.executable, "-c", script, str(path))
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"x")
        process.stdin.flush()
        assert process.stdout.read(1) == b"x", "it is the other program by now"
        assert is_locked(path)
        process.kill()
        process.wait()
        assert not is_locked(path)
