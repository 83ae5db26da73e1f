"""The Serve application ``case12``: ``serve deploy`` imports ``serve_app.app:build``.

The number of replicas and their resources are in the Serve config, not here.
"""

import asyncio
import logging
from collections.abc import Mapping
from typing import Any, Final

from ray import serve
from ray.serve import Application
from starlette.types import ASGIApp

from serve_app.core.names import CASE12_APP
from serve_app.core.settings import Settings
from serve_app.priority import to_normal
from serve_app.ray_logs import log_like_serve
from serve_app.ray_metrics import RayRecorder
from serve_app.replica import Replica

logger = logging.getLogger(__name__)

_WAIT_FOR_STORES_S: Final = 20.0


class Case12:
    """One replica, as Serve sees it.

    Not decorated: pickle then refers to this class by name instead of copying its code, so a
    replica that starts later runs the code of that time.
    """

    async def __init__(self) -> None:  # type: ignore[misc]  # Serve awaits it
        """Wait a while for the stores, then take requests: without a store they get 503."""
        log_like_serve()
        recorder = RayRecorder()
        self._replica = Replica(Settings(), recorder)
        recorder.before_publishing(self._replica.metrics.collect)
        self._publishing = asyncio.create_task(recorder.run(), name="metrics")
        self._replica.start()
        try:
            async with asyncio.timeout(_WAIT_FOR_STORES_S):
                await self._replica.wait_ready()
        except TimeoutError:
            logger.warning("not all stores are connected after %s s", _WAIT_FOR_STORES_S)
        to_normal()

    def reconfigure(self, user_config: Mapping[str, Any]) -> None:
        """Serve calls this after the constructor, and when ``user_config`` of the config changes.

        Raises:
            ValueError: see `Replica.reconfigure`; `serve status` shows it.
        """
        self._replica.reconfigure(user_config)
        logger.info("settings of user_config: %s", dict(user_config))

    async def check_health(self) -> None:
        """Serve calls this; raises when a background task has ended, never for a missing store."""
        for task in (self._publishing, *self._replica.loops()):
            if task.done():
                error = None if task.cancelled() else task.exception()
                raise RuntimeError(f"{task.get_name()} has ended: {error!r}") from error

    def __serve_build_asgi_app__(self) -> ASGIApp:
        """The late-bound application of ``serve.ingress()``."""
        return self._replica.app

    async def __del__(self) -> None:
        """Serve awaits this when the replica shuts down, after the last request."""
        await self._replica.stop()
        self._publishing.cancel()


def build(args: Mapping[str, Any]) -> Application:
    """The application.

    ``args`` of the Serve config only have to differ: Serve then rebuilds the application.
    """
    ingress = serve.ingress()(Case12)
    application: Application = serve.deployment(name=CASE12_APP)(ingress).bind()
    return application
