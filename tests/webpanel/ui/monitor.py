"""The server's state: the subscription, the platform's status, the connected pages."""

import asyncio
from contextlib import suppress
from typing import Any

from tests.webpanel.eventtime import parse_event_time
from tests.webpanel.ui.hub import Event, Hub, event
from tests.webpanel.ui.models import DEFAULT_START_MS, NewSubscription
from tests.webpanel.ui.platform import PlatformClient
from tests.webpanel.ui.problems import PanelProblem
from tests.webpanel.ui.run import Run

_POLL_S = 2.0


class Monitor:
    """Starts subscriptions, one at a time; polls the platform while a page is connected."""

    def __init__(self, host: str, port: int, token: str = "") -> None:
        """`token`: bearer token. Host and port hold until a subscription names others."""
        self.host = host
        self.port = port
        self.platform = PlatformClient(token)
        self._token = token
        self.run: Run | None = None
        self.hub = Hub(self._whole)
        self.status: dict[str, Any] | None = None
        self._starting = asyncio.Lock()
        self._polling: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Begin to watch."""
        self._polling = asyncio.create_task(self._poll())

    async def close(self) -> None:
        """Stop the sender and all tasks."""
        self.hub.close()
        if self._polling:
            self._polling.cancel()
            with suppress(asyncio.CancelledError):
                await self._polling
        if self.run:
            await self.run.stop()
        await self.platform.close()

    async def start(self, new: NewSubscription) -> Run:
        """Start a subscription.

        Raises:
            PanelProblem: 409, one is active; 502 or 503, the newest stored tag is unknown.
        """
        async with self._starting:
            if self.run and self.run.active:
                raise PanelProblem(
                    409,
                    "One subscription at a time",
                    f"subscription {self.run.id} is {self.run.state}: close it first",
                )
            stored_ms = await self.platform.start_ms(new.host, new.port)
            if new.start is not None:
                start_ms = parse_event_time(new.start.isoformat())
            else:
                start_ms = DEFAULT_START_MS if stored_ms is None else stored_ms
            if self.run:
                await self.run.stop()
            run = Run(new.options(start_ms, self._token), self.hub.publish)
            await run.start()
            self.run, self.host, self.port = run, new.host, new.port
            self.status = None
        self.hub.publish_whole()
        return run

    def find(self, run_id: str) -> Run:
        """The subscription with this id.

        Raises:
            PanelProblem: 404; only the latest is kept.
        """
        if self.run is None or self.run.id != run_id:
            raise PanelProblem(
                404, "Not found", f"no subscription {run_id}: only the latest is kept"
            )
        return self.run

    def _whole(self) -> Event:
        run = self.run
        return event(
            "whole",
            {
                "target": {"host": self.host, "port": self.port},
                "subscription": run and run.document(),
                "history": run and run.history.document(),
                "wrong": run.wrong_summaries() if run else [],
                "platform": self.status,
            },
        )

    async def _poll(self) -> None:
        """Poll the lag while a page is connected or a subscription is active."""
        while True:
            if self.hub.listeners or (self.run and self.run.active):
                host, port = self.host, self.port
                status = await self.platform.status(host, port)
                if (host, port) == (self.host, self.port):
                    self.status = status
                    self._keep_lags(status)
                    self.hub.publish("platform", status)
                await asyncio.sleep(_POLL_S)
            else:
                await asyncio.sleep(_POLL_S / 10)

    def _keep_lags(self, status: dict[str, Any]) -> None:
        if self.run:
            self.run.lags = {
                f"lag_{one['partition']}": one.get("lag") for one in status["partitions"] or []
            }
