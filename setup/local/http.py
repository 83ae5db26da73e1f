"""One GET over HTTP, as little as it takes."""

import urllib.request


def fetch(url: str, timeout_s: float = 3.0) -> bytes:
    """The body of a 2xx answer; OSError (urllib's errors are) for anything else."""
    # No proxy: every address here is loopback.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url, timeout=timeout_s) as answer:
        body: bytes = answer.read()
    return body
