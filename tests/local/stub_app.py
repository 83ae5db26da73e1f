"""Two tiny Serve applications instead of the real ones."""

from ray import serve
from ray.serve import Application
from starlette.requests import Request


@serve.deployment(num_replicas=1, ray_actor_options={"num_cpus": 0.1})
class Echo:
    """Answers with its name."""

    async def __call__(self, request: Request) -> str:
        return "echo"


def build(args: dict[str, str]) -> Application:
    """The application."""
    application: Application = Echo.bind()  # type: ignore[attr-defined]
    return application
