"""HTTP/1.1 by hand: the bytes of a request, and a parser for one answer.

General clients cost more processor time than everything else here together.
"""


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
    skips interim 1xx answers.
    """

    __slots__ = ("_buffer", "_chunked", "_length", "_until_close", "body", "close", "status")

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._length: int | None = None
        self._chunked = False
        self._until_close = False
        self.status = 0
        self.body = b""
        self.close = False

    def feed(self, data: bytes) -> bool:
        """Take more bytes; true when the answer is whole: then read status, body and close.

        Raises:
            WireError: this is no HTTP answer.
        """
        self._buffer += data
        while not self.status:
            end = self._buffer.find(b"\r\n\r\n")
            if end < 0:
                return False
            self._read_head(bytes(self._buffer[:end]))
            del self._buffer[: end + 4]
        if self._chunked:
            return self._read_chunks()
        if self._length is not None and len(self._buffer) >= self._length:
            self.body = bytes(self._buffer[: self._length])
            return True
        return False

    def end(self) -> bool:
        """The server closed the connection; true if the answer is whole thereby."""
        if self._until_close:
            self.body, self.close = bytes(self._buffer), True
        return self._until_close

    def _read_head(self, head: bytes) -> None:
        first, *lines = head.split(b"\r\n")
        version, _, rest = first.partition(b" ")
        if not version.startswith(b"HTTP/1.") or not rest[:3].isdigit():
            raise WireError(f"no status line: {first[:80]!r}")
        status = int(rest[:3])
        if status < 200:
            return
        headers = {
            name.strip().lower(): value.strip().lower()
            for name, _, value in (line.partition(b":") for line in lines)
        }
        connection = headers.get(b"connection", b"")
        self.close = b"close" in connection or (
            version == b"HTTP/1.0" and b"keep-alive" not in connection
        )
        self.status = status
        if status in (204, 304):
            self._length = 0
        elif b"chunked" in headers.get(b"transfer-encoding", b""):
            self._chunked = True
        elif b"content-length" in headers:
            if not headers[b"content-length"].isdigit():
                raise WireError(f"Content-Length is {headers[b'content-length'][:80]!r}")
            self._length = int(headers[b"content-length"])
        else:
            self._until_close = True

    def _read_chunks(self) -> bool:
        """Join the chunks once all are here (a rare case: reading them again is no matter)."""
        at = 0
        parts: list[bytes] = []
        while True:
            end = self._buffer.find(b"\r\n", at)
            if end < 0:
                return False
            try:
                size = int(self._buffer[at:end].split(b";")[0], 16)
            except ValueError as error:
                raise WireError(f"no chunk size: {bytes(self._buffer[at:end])[:80]!r}") from error
            at = end + 2
            if size == 0:
                # The trailer ends with an empty line.
                if self._buffer[at : at + 2] == b"\r\n" or b"\r\n\r\n" in self._buffer[at:]:
                    self.body = b"".join(parts)
                    return True
                return False
            if len(self._buffer) < at + size + 2:
                return False
            parts.append(bytes(self._buffer[at : at + size]))
            at += size + 2
