"""The process that sends the stream: `python -m tests.webpanel.ui.sender`.

Started by `sender_process`. Standard input: one line of JSON with the options, then one command per
line (`pause`, `resume`, `close`, `report`); its end closes the subscription. Standard output: one
JSON message per line, see `reporter`. Standard error: the traceback of a fatal error.
"""

import asyncio
import gc
import json
import signal
import sys
from contextlib import suppress
from typing import Any

import uvloop

from tests.webpanel.options import SubscriptionOptions
from tests.webpanel.report import report
from tests.webpanel.subscription import Subscription
from tests.webpanel.ui.reporter import Reporter

_TELL_S = 0.25
_LAST_WORDS_S = 5.0
_MOST_UNREAD = 4 << 20
"""Reports are skipped while this many bytes are unread, so that the stream is never delayed."""


class Sender:
    """One subscription, controlled by standard input and reported on standard output."""

    def __init__(self, options: SubscriptionOptions, out: asyncio.WriteTransport) -> None:
        self.subscription = Subscription(options)
        self._reporter = Reporter(self.subscription)
        self._out = out

    def tell(self, message: dict[str, Any]) -> None:
        """Write a message, without waiting."""
        self._out.write(json.dumps(message, separators=(",", ":")).encode() + b"\n")

    def tell_news(self) -> None:
        """Report what is new; nothing while the reader is behind."""
        if self._out.get_write_buffer_size() < _MOST_UNREAD:
            for message in self._reporter.news():
                self.tell(message)

    async def keep_telling(self) -> None:
        """Report a few times a second."""
        while True:
            await asyncio.sleep(_TELL_S)
            self.tell_news()

    async def obey(self, commands: asyncio.StreamReader) -> None:
        """Run commands until standard input ends; one that does not fit the state is refused."""
        while line := (await commands.readline()).decode().strip():
            try:
                if line == "report":
                    self.tell_report()
                elif line == "pause":
                    self.subscription.pause()
                elif line == "resume":
                    self.subscription.resume()
                elif line == "close":
                    break
            except RuntimeError as error:
                self.tell({"type": "refused", "detail": str(error)})
            self.tell_news()
        await self.subscription.close()

    def tell_report(self) -> None:
        """The report so far, as the terminal version writes it."""
        self.tell({"type": "report", "report": report(self.subscription)})


async def run() -> None:
    """From the first line of standard input to the last report."""
    loop = asyncio.get_running_loop()
    commands = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
    out, _ = await loop.connect_write_pipe(asyncio.Protocol, sys.stdout)
    sender = Sender(SubscriptionOptions(**json.loads(await commands.readline())), out)
    # Tables and oracles live as long as the process: exclude them from garbage collection.
    gc.collect()
    gc.freeze()
    await sender.subscription.start()
    telling = loop.create_task(sender.keep_telling())
    obeying = loop.create_task(sender.obey(commands))
    try:
        await sender.subscription.wait()
        await sender.subscription.close()
    finally:
        for task in (telling, obeying):
            task.cancel()
        await asyncio.gather(telling, obeying, return_exceptions=True)
        with suppress(OSError):
            sender.tell_news()
            sender.tell_report()
        out.close()
        with suppress(TimeoutError):
            async with asyncio.timeout(_LAST_WORDS_S):
                while out.get_write_buffer_size():  # noqa: ASYNC110  # no event tells
                    await asyncio.sleep(0.01)


if __name__ == "__main__":
    # Ctrl+C reaches the whole process group; the server shuts this process down itself.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    uvloop.run(run())
