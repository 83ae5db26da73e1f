"""One GET over HTTP, as little as it takes."""

import urllib.request


def fetch(url: str, timeout_s: float = 3.0, token: str = "") -> bytes:
    """The body of a 2xx answer; OSError (urllib's errors are) for anything else.

    ``token`` is the API's bearer token, if it asks for one.
    """
    # No proxy: every address here is loopback.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    request = urllib.request.Request(url, headers=headers)
    with opener.open(request, timeout=timeout_s) as answer:
        body: bytes = answer.read()
    return body
