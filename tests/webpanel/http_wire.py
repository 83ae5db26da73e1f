"""HTTP/1.1 at little cost: the bytes of a request by hand, and one answer by httptools' parser.

General clients cost more processor time than everything else here together.
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
    """What the server sent is no HTTP answer."""


class AnswerParser:
    """Takes the bytes of one answer in any pieces.

    Knows Content-Length, chunked transfer encoding, bodies that end with the connection, and
    skips interim 1xx answers. What comes after the answer is ignored.
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
        """Take more bytes; true when the answer is whole: then read status, body and close.

        Raises:
            WireError: this is no HTTP answer.
        """
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            # Whatever follows a whole answer is no part of it.
            if not self._whole:
                raise WireError(f"no HTTP answer: {error!r}") from error
        if self._whole:
            # The two hold each other, and one is made for each answer: no work for the collector.
            del self._parser
        return self._whole

    def end(self) -> bool:
        """The server closed the connection; true if the answer is whole thereby."""
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
