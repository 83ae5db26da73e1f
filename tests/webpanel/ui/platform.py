"""The panel's client of the platform: status, and the explorer's queries."""

import json
import shlex
import time
from typing import Any

import httpx

from setup.local.start_time import start_time
from tests.webpanel.eventtime import parse_event_time
from tests.webpanel.ui.models import Exchange
from tests.webpanel.ui.problems import PanelProblem

_STATUS_S = 2.5
_QUERY_S = 60.0
TOKEN_VARIABLE = "TAGS_API_TOKEN"


def curl(host: str, port: int, target: str, *, token: bool = False) -> str:
    """A curl command for the same query; the token is a variable, not its value."""
    header = f'-H "Authorization: Bearer ${TOKEN_VARIABLE}" ' if token else ""
    return f"curl -sS -X POST {header}{shlex.quote(f'http://{host}:{port}{target}')}"


class PlatformClient:
    """An HTTP client whose methods take host and port."""

    def __init__(self, token: str = "") -> None:
        """`token`: sent as bearer token, unless empty."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._token = bool(token)
        self._client = httpx.AsyncClient(trust_env=False, headers=headers)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def status(self, host: str, port: int) -> dict[str, Any]:
        """`/case3/status` with `reachable: true`; if unreachable, no partitions but an `error`.

        Never raises.
        """
        answer: dict[str, Any] = {
            "host": host,
            "port": port,
            "reachable": True,
            "error": None,
            "partitions": None,
        }
        try:
            response = await self._client.get(
                f"{_base(host, port)}/case3/status", timeout=_STATUS_S
            )
        except httpx.ConnectError:
            return {**answer, "reachable": False, "error": f"nothing listens at {host}:{port}"}
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            name = type(error).__name__
            return {**answer, "reachable": False, "error": f"/case3/status: {name} {error}".strip()}
        try:
            document = response.json() if response.status_code == 200 else {}
            partitions = document["partitions"]
        except (ValueError, KeyError, TypeError):
            return {**answer, "error": f"no /case3/status there (status {response.status_code})"}
        return {**answer, "partitions": partitions}

    async def start_ms(self, host: str, port: int) -> int | None:
        """Event time for a new stream's first tag, after the stored ones; None if none are known.

        Raises:
            PanelProblem: 502, unreachable; 503, a partition does not report its watermark.
        """
        status = await self.status(host, port)
        if not status["reachable"]:
            raise PanelProblem(502, "Platform not reachable", status["error"])
        partitions = status["partitions"] or []
        if silent := [one for one in partitions if one.get("offset") is None]:
            number = silent[0].get("partition")
            raise PanelProblem(
                503,
                "Platform not ready",
                f"partition {number} does not report its newest tag, so any start may be wrong: "
                "wait until it runs, or give `start`",
            )
        start = start_time([one["watermark"] for one in partitions if one.get("watermark")])
        return None if start is None else parse_event_time(start)

    async def ask(self, host: str, port: int, target: str) -> Exchange:
        """POST a query and return the answer, problem documents included.

        Raises:
            PanelProblem: 502, no answer.
        """
        began = time.monotonic()
        try:
            response = await self._client.post(f"{_base(host, port)}{target}", timeout=_QUERY_S)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise PanelProblem(
                502,
                "Platform not reachable",
                f"{host}:{port} gave no answer: {type(error).__name__} {error}".strip(),
            ) from None
        took_ms = (time.monotonic() - began) * 1e3
        try:
            body = json.loads(response.content)
        except ValueError:
            body = response.text
        return Exchange(
            curl=curl(host, port, target, token=self._token),
            status=response.status_code,
            took_ms=round(took_ms, 1),
            body=body,
        )


def _base(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
