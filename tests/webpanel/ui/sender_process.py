"""Starts the sender process, reads its messages, and notices when it dies."""

import asyncio
import json
import sys
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tests.webpanel.options import SubscriptionOptions

_CHECKOUT = Path(__file__).parents[3]
_LONGEST_LINE = 64 << 20
_CLOSE_S = 5.0


class SenderProcess:
    """The child process of one subscription.

    Attributes:
        on_message: called with every message, on the event loop.
        on_exit: called once, with the reason if it ended early, or an empty text after a report.
    """

    def __init__(
        self, on_message: Callable[[dict[str, Any]], None], on_exit: Callable[[str], None]
    ) -> None:
        self.on_message = on_message
        self.on_exit = on_exit
        self._stderr: deque[str] = deque(maxlen=40)
        self._process: asyncio.subprocess.Process | None = None
        self._reading: asyncio.Task[None] | None = None

    async def start(self, options: SubscriptionOptions) -> None:
        """Start the process and send it the options."""
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.webpanel.ui.sender"),
            cwd=_CHECKOUT,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            limit=_LONGEST_LINE,
        )
        self.command(json.dumps(asdict(options)))
        self._reading = asyncio.create_task(self._read(self._process))

    def command(self, line: str) -> None:
        """Send a command; ignored if the process is gone."""
        if self._process and self._process.stdin and not self._process.stdin.is_closing():
            self._process.stdin.write(f"{line}\n".encode())

    async def stop(self) -> None:
        """End the process: close its input, or kill it if that does not help."""
        if self._process is None or self._reading is None:
            return
        if self._process.stdin:
            self._process.stdin.close()
        try:
            async with asyncio.timeout(_CLOSE_S):
                await asyncio.shield(self._reading)
        except TimeoutError:
            with suppress(ProcessLookupError):
                self._process.kill()
            await self._reading

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        assert process.stderr is not None
        errors = asyncio.create_task(self._read_errors(process.stderr))
        problem = ""
        try:
            async for line in process.stdout:
                self.on_message(json.loads(line))
        except ValueError as error:  # a line too long, or no JSON
            problem = f"the sender's output cannot be read: {error}"
            with suppress(ProcessLookupError):
                process.kill()
        status = await process.wait()
        await errors
        if status and not problem:
            how = f"was killed by signal {-status}" if status < 0 else f"ended with status {status}"
            problem = "\n".join([f"the sender {how}", *self._stderr])
        self.on_exit(problem)

    async def _read_errors(self, stderr: asyncio.StreamReader) -> None:
        async for line in stderr:
            self._stderr.append(line.decode(errors="replace").rstrip())
