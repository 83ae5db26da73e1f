"""``GET /case3/status``: the status of all actors, asked concurrently."""

import asyncio
from collections.abc import Sequence
from typing import Any, Final

from fastapi import FastAPI
from ray import serve
from ray.serve.handle import DeploymentHandle
from starlette.types import ASGIApp

from actors.aggregates.status import STAND_BY, silent_partition
from serve_app.core.settings import settings
from serve_app.http.bearer import require_token
from serve_app.priority import to_normal

ASK_S: Final = 2.0
"""An actor that does not answer for this long is shown as unreachable."""
UNREACHABLE: Final = "unreachable"
_LOOKS: Final = 6
"""Either of two actors of a partition may answer: the one on standby does so to all of these one
time in 64."""

api = FastAPI(title="case3", description="Status of the partition actors and of both views.")


def _guard(application: ASGIApp) -> ASGIApp:
    """Called by Starlette in the replica, when the first request comes."""
    return require_token(application, settings().api_token)


api.add_middleware(_guard)


# Above the class: serve.ingress copies the routes, with all names that they use, when it decorates.
async def _ask(handle: "DeploymentHandle[Any]") -> dict[str, Any] | str:
    """The status document, of the actor that counts if it is met; or why there is none."""
    try:
        async with asyncio.timeout(ASK_S):
            for _ in range(_LOOKS):
                document: dict[str, Any] = await handle.status.remote()
                if document["state"] != STAND_BY:
                    break
            return document
    except TimeoutError:
        return f"no answer within {ASK_S:.0f} s"
    except Exception as error:  # whatever Ray raises: the page matters most just then
        return f"{type(error).__name__}: {error}"[:300]


@serve.ingress(api)
class StatusIngress:
    """Holds the handles of all deployments of the application."""

    def __init__(self, partitions: Sequence["DeploymentHandle[Any]"]) -> None:
        """``partitions`` in the order of their numbers."""
        to_normal()
        self._handles = tuple(partitions)

    @api.get("/status")
    async def status(self) -> dict[str, Any]:
        """State, offset, log end, lag and watermark of each partition, and of its profiles.

        ``late``: tags that were older than what is kept, and are in no aggregate. ``capped_names``:
        names met for which there was no room in the dictionary, each once a flush. ``profiles``:
        one entry per shard of the Redis Cluster; ``lost_before`` is an offset where a shard lost
        more than the log still has.
        """
        partitions = await asyncio.gather(*map(_ask, self._handles))
        return {
            "partitions": [
                answer
                if isinstance(answer, dict)
                else silent_partition(number, UNREACHABLE, str(answer))
                for number, answer in enumerate(partitions)
            ],
        }
