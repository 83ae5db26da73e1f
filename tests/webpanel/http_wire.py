"""HTTP/1.1 at little cost: requests as hand-made bytes, answers by httptools' parser.

A general HTTP client takes more processor time than the rest of the panel together.
"""

import httptools


def request_head(host: str, port: int, token: str = "") -> bytes:
    """The header lines that every request shares, after the request line."""
    authorization = f"Authorization: Bearer {token}\r\n" if token else ""
    return (
        f" HTTP/1.1\r\nHost: {host}:{port}\r\nUser-Agent: web-panel\r\n{authorization}"
        "Content-Type: application/json\r\nContent-Length: "
    ).encode()


def request_bytes(path: bytes, head: bytes, body: bytes) -> bytes:
    """A whole POST request; `head` comes from `request_head`."""
    return b"POST %b%b%d\r\n\r\n%b" % (path, head, len(body), body)


class WireError(Exception):
    """The server sent something that is not an HTTP response."""


class AnswerParser:
    """Parses one response from any number of pieces.

    Understands Content-Length, chunked transfer encoding and bodies that end with the connection;
    skips interim 1xx responses. Bytes after the response are ignored.
    """

    __slots__ = ("_delimited", "_parser", "_parts", "_whole", "body", "close", "status")

    def __init__(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._parts: list[bytes] = []
        self._delimited = False
        """Whether the head says where the body ends."""
        self._whole = False
        self.status = 0
        self.body = b""
        self.close = False

    def feed(self, data: bytes) -> bool:
        """Parse more bytes; true once `status`, `body` and `close` are complete.

        Raises:
            WireError: not an HTTP response.
        """
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            # Bytes after a complete response are ignored.
            if not self._whole:
                raise WireError(f"no HTTP answer: {error!r}") from error
        if self._whole:
            # Break the reference cycle: one pair per response would burden the garbage collector.
            del self._parser
        return self._whole

    def end(self) -> bool:
        """The server closed the connection; true if that completes the response."""
        if not self.status or self._delimited:
            return False
        self.body, self.close = b"".join(self._parts), True
        return True

    def on_header(self, name: bytes, value: bytes) -> None:
        """Called by the parser."""
        if not self._delimited and name.lower() in (b"content-length", b"transfer-encoding"):
            self._delimited = True

    def on_headers_complete(self) -> None:
        """Called by the parser."""
        status = self._parser.get_status_code()
        if status < 200:
            self._delimited = False
        elif not self._whole:
            self.status = status
            self.close = not self._parser.should_keep_alive()

    def on_body(self, part: bytes) -> None:
        """Called by the parser."""
        if not self._whole:
            self._parts.append(part)

    def on_message_complete(self) -> None:
        """Called by the parser."""
        if self.status and not self._whole:
            self._whole = True
            self.body = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
