"""The same application object under plain uvicorn: ``uvicorn tests.bench._uvicorn_app:app``."""

from starlette.types import Receive, Scope, Send

from serve_app.core.settings import Settings
from serve_app.replica import Replica


class _App:
    """Starts the replica with uvicorn's worker, and passes it every request."""

    def __init__(self) -> None:
        self._replica: Replica | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            assert self._replica is not None
            await self._replica.app(scope, receive, send)
            return
        await receive()
        self._replica = Replica(Settings())
        self._replica.start()
        await self._replica.wait_ready()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self._replica.stop()
        await send({"type": "lifespan.shutdown.complete"})


app = _App()
