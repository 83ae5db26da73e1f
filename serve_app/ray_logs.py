"""Our log lines go where Serve's go: same file, same format (text or JSON), same request id."""

import logging


def log_like_serve() -> None:
    """Send the log of our packages, from INFO on, where Serve sends that of its replicas."""
    serve = logging.getLogger("ray.serve")
    for package in ("actors", "serve_app"):
        logger = logging.getLogger(package)
        # Serve's own level may be higher, for its line a request.
        logger.setLevel(min(serve.getEffectiveLevel(), logging.INFO))
        if serve.handlers and not logger.handlers:
            logger.handlers = list(serve.handlers)
            logger.propagate = False
