"""An open-loop sender: tags are sent when due, whatever the outcome of earlier ones."""

import asyncio
import time
from dataclasses import dataclass, field

from tests.webpanel.connections import Exchange, Failure, Pool
from tests.webpanel.histogram import LatencyHistogram
from tests.webpanel.http_wire import request_head
from tests.webpanel.options import STREAM_START_MS
from tests.webpanel.stream import tag_codes, tag_json

TIMEOUT_S = 0.2
"""The contract's."""
_TICK_S = 0.002
_HOST = "127.0.0.1"


@dataclass
class Outcome:
    """Outcomes of the tags of a run, or of one second of it."""

    seconds: float = 0.0
    sent: int = 0
    accepted: int = 0
    """204 in time."""
    refused: int = 0
    """503 in time."""
    late: int = 0
    """No answer in time."""
    other: int = 0
    accepted_s: LatencyHistogram = field(default_factory=LatencyHistogram)
    refused_s: LatencyHistogram = field(default_factory=LatencyHistogram)
    lag_s: LatencyHistogram = field(default_factory=LatencyHistogram)
    """Delay of the sender itself."""

    @property
    def in_time(self) -> float:
        """Share of the tags not refused that were accepted in time."""
        wanted = self.sent - self.refused
        return self.accepted / wanted if wanted else 1.0


class OpenLoop:
    """Sends tags of one stream to one port, in one or more runs."""

    def __init__(self, port: int, *, connections: int = 3_000) -> None:
        """At most ``connections`` open connections, each with one request at a time."""
        self._codes = tag_codes(1)
        self._event_ms = STREAM_START_MS
        self._head = b"POST /user_tags" + request_head(_HOST, port)
        self._outcome = Outcome()
        self._seconds: list[Outcome] = []
        self._pool = Pool(
            _HOST,
            port,
            timeouts_s=(TIMEOUT_S,),
            most=connections,
            on_answer=self._answered,
            on_failure=self._failed,
        )

    async def run(self, rate: float, duration_s: float) -> tuple[Outcome, list[Outcome]]:
        """Send at ``rate`` per second; returns the outcomes in total and by second."""
        total = Outcome(seconds=duration_s)
        self._seconds = []
        begun_s = time.monotonic()
        sent = 0
        while (now_s := time.monotonic()) - begun_s < duration_s:
            if now_s - begun_s >= len(self._seconds):
                self._outcome = Outcome(seconds=1.0)
                self._seconds.append(self._outcome)
            due = int((now_s - begun_s) * rate)
            while sent < due:
                self._send(begun_s + sent / rate, now_s)
                sent += 1
            self._pool.sweep(time.monotonic())
            await asyncio.sleep(_TICK_S)
        end_s = time.monotonic() + TIMEOUT_S + 0.1
        while time.monotonic() < end_s:
            self._pool.sweep(time.monotonic())
            await asyncio.sleep(_TICK_S)
        for second in self._seconds:
            for name in ("sent", "accepted", "refused", "late", "other"):
                setattr(total, name, getattr(total, name) + getattr(second, name))
            for name in ("accepted_s", "refused_s", "lag_s"):
                getattr(total, name).merge(getattr(second, name))
        return total, self._seconds

    async def close(self) -> None:
        """Close all connections."""
        await self._pool.close()

    def _send(self, due_s: float, now_s: float) -> None:
        self._event_ms += 1
        body = tag_json(self._event_ms, next(self._codes)).encode()
        payload = b"%b%d\r\n\r\n%b" % (self._head, len(body), body)
        outcome = self._outcome
        outcome.sent += 1
        outcome.lag_s.record(now_s - due_s)
        self._pool.send(Exchange(0, outcome, payload, due_s, now_s))

    @staticmethod
    def _answered(exchange: Exchange, status: int, body: bytes) -> None:
        outcome: Outcome = exchange.subject
        took_s = time.monotonic() - exchange.sent
        if status == 204:
            outcome.accepted += 1
            outcome.accepted_s.record(took_s)
        elif status == 503:
            outcome.refused += 1
            outcome.refused_s.record(took_s)
        else:
            outcome.other += 1

    @staticmethod
    def _failed(exchange: Exchange, failure: Failure) -> None:
        outcome: Outcome = exchange.subject
        if failure is Failure.OTHER:
            outcome.other += 1
        else:
            outcome.late += 1
