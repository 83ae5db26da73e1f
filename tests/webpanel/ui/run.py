"""The server's side of one subscription: state, history and wrong answers."""

import asyncio
from collections import deque
from collections.abc import Callable, Container
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from tests.webpanel.counters import Counters
from tests.webpanel.options import SubscriptionOptions
from tests.webpanel.ui.history import History, Point
from tests.webpanel.ui.models import ACTIVE, Parameters, State, SubscriptionDocument, WrongAnswer
from tests.webpanel.ui.platform import curl
from tests.webpanel.ui.problems import PanelProblem
from tests.webpanel.ui.sender_process import SenderProcess

_WRONG_KEPT = 100
_STEP_S = 5.0
_REPORT_S = 10.0

Publish = Callable[[str, Any], None]


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Run:
    """Controls the sender and keeps its reports. Events: counters, point, history, wrong."""

    def __init__(self, options: SubscriptionOptions, publish: Publish) -> None:
        """`publish` is called with every event's name and data."""
        self.id = uuid4().hex[:8]
        self.options = options
        self.state: State = "starting"
        self.error: str | None = None
        self.counters: dict[str, Any] = Counters(total_tags=options.total_tags).as_json()
        self.sender: dict[str, float] | None = None
        self.history = History()
        self.lags: Point = {}
        """Latest lag of each partition; goes into the next point."""
        self.wrong: deque[dict[str, Any]] = deque(maxlen=_WRONG_KEPT)
        self._publish = publish
        self._process = SenderProcess(self._told, self._ended)
        self._report: dict[str, Any] | None = None
        self._report_came = asyncio.Event()
        self._changed = asyncio.Condition()
        self._notifying: set[asyncio.Task[None]] = set()
        self._started_at = _now()
        self._ended_at: str | None = None

    @property
    def active(self) -> bool:
        """Not over yet."""
        return self.state in ACTIVE

    async def start(self) -> None:
        """Start the sender."""
        await self._process.start(self.options)

    async def stop(self) -> None:
        """Kill the sender process."""
        await self._process.stop()

    async def pause(self) -> None:
        """Send nothing more until `resume`.

        Raises:
            PanelProblem: 409, it is not running.
        """
        await self._step("pause", {"running", "draining"}, {"paused"})

    async def resume(self) -> None:
        """Continue after `pause`.

        Raises:
            PanelProblem: 409, it is not paused.
        """
        await self._step("resume", {"paused"}, {"running", "draining"})

    async def close(self) -> None:
        """Stop the subscription.

        Raises:
            PanelProblem: 409, it is already over.
        """
        await self._step("close", set(ACTIVE), {"closed"})

    async def _step(self, command: str, before: set[str], after: set[str]) -> None:
        if self.state not in before:
            expected = " or ".join(sorted(before)) if len(before) < 4 else "active"
            raise PanelProblem(
                409, "Wrong state", f"the subscription is {self.state}, not {expected}"
            )
        self._process.command(command)
        await self._reach({*after, "finished", "closed", "broken"})

    async def _reach(self, states: Container[str]) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(_STEP_S), self._changed:
                await self._changed.wait_for(lambda: self.state in states)

    async def report(self) -> dict[str, Any]:
        """The terminal version's report so far, with state, history and wrong answers.

        For a broken subscription, as of its last report.
        """
        if self.active:
            self._report_came.clear()
            self._process.command("report")
            with suppress(TimeoutError):
                async with asyncio.timeout(_REPORT_S):
                    await self._report_came.wait()
        document = self.document()
        engine = self._report or {
            "parameters": document["parameters"],
            "flawless": False,
            "counters": self.counters,
        }
        return {
            "id": self.id,
            "state": self.state,
            "error": self.error,
            "started_at": self._started_at,
            "ended_at": self._ended_at,
            **engine,
            "history": self.history.document(),
            "latest_wrong_answers": [self.whole(one).model_dump() for one in self.wrong],
        }

    def document(self) -> dict[str, Any]:
        """The subscription as a document of the API."""
        return SubscriptionDocument(
            id=self.id,
            state=self.state,
            error=self.error,
            started_at=self._started_at,
            ended_at=self._ended_at,
            parameters=Parameters.of(self.options),
            counters=self.counters,
            sender=self.sender,
        ).model_dump()

    def whole(self, wrong: dict[str, Any]) -> WrongAnswer:
        """A wrong answer with the curl command that repeats the query."""
        target = wrong["request"].removeprefix("POST ")
        host, port, token = self.options.host, self.options.port, bool(self.options.token)
        return WrongAnswer(**wrong, curl=curl(host, port, target, token=token))

    def wrong_summaries(self) -> list[dict[str, Any]]:
        """Newest first, without bodies."""
        return [_summary(one) for one in reversed(self.wrong)]

    def _told(self, message: dict[str, Any]) -> None:
        kind = message["type"]
        if kind == "counters":
            self.counters = message["counters"]
            self._move(_state(self.counters))
            self._publish("counters", self.live())
        elif kind == "second":
            self.sender = message["sender"]
            point = self.history.add({**message["point"], **self.lags})
            if self.history.thin():
                self._publish("history", self.history.document())
            elif point is not None:
                self._publish("point", point)
        elif kind == "wrong":
            self.wrong.extend(message["answers"])
            for one in message["answers"]:
                self._publish("wrong", _summary(one))
        elif kind == "report":
            self._report = message["report"]
            self._report_came.set()

    def _ended(self, problem: str) -> None:
        if problem or self.active:
            self.error = problem or "the sender ended without an error message"
            self._move("broken")
        self._ended_at = _now()
        self._report_came.set()
        self._publish("counters", self.live())

    def live(self) -> dict[str, Any]:
        """The event with all that changes a few times a second."""
        return {
            "id": self.id,
            "state": self.state,
            "error": self.error,
            "ended_at": self._ended_at,
            "counters": self.counters,
            "sender": self.sender,
        }

    def _move(self, state: State) -> None:
        if state == self.state:
            return
        self.state = state
        task = asyncio.create_task(self._notify())
        self._notifying.add(task)
        task.add_done_callback(self._notifying.discard)

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()


def _state(counters: dict[str, Any]) -> State:
    """The engine's state; `draining` when all tags are sent and answers are still due."""
    state: State = "starting" if counters["state"] == "new" else counters["state"]
    if state == "running" and counters["tags"]["sent"] >= counters["total_tags"]:
        return "draining"
    return state


def _summary(wrong: dict[str, Any]) -> dict[str, Any]:
    return {key: wrong[key] for key in ("number", "at_s", "verdict", "request", "difference")}
