"""A server that stores nothing and answers at once, to measure the panel itself.

204 to user tags, empty answers to queries. `--fail-every N` answers every N-th request
with 503, `--slow-every N` delays every N-th answer by `--slow-ms`.
"""

import argparse
import asyncio

import uvloop

_TAG = b"HTTP/1.1 204 No Content\r\n\r\n"
_BUSY = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"
_EMPTY = b'{"columns":[],"rows":[]}'
_QUERY = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(_EMPTY), _EMPTY)


class DummyProtocol(asyncio.Protocol):
    """Splits the byte stream into requests and answers each."""

    count = 0
    fail_every = 0
    slow_every = 0
    slow_s = 0.0

    def __init__(self) -> None:
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the loop."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Called by the loop."""
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = self._buffer[:end].lower()
            at = head.find(b"content-length:")
            length = int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
            if len(self._buffer) < end + 4 + length:
                return
            self._buffer = self._buffer[end + 4 + length :]
            self._answer(_TAG if head.startswith(b"post /user_tags") else _QUERY)

    def _answer(self, answer: bytes) -> None:
        kind = DummyProtocol
        kind.count += 1
        if kind.fail_every and kind.count % kind.fail_every == 0:
            answer = _BUSY
        write = self._transport.write  # type: ignore[attr-defined]
        if kind.slow_every and kind.count % kind.slow_every == 0:
            asyncio.get_running_loop().call_later(kind.slow_s, write, answer)
        else:
            write(answer)


async def _serve(host: str, port: int) -> None:
    server = await asyncio.get_running_loop().create_server(DummyProtocol, host, port)
    print(f"port {server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


def main() -> None:
    """Serve until killed; the first line of output is `port N`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0: any free one")
    parser.add_argument("--fail-every", type=int, default=0)
    parser.add_argument("--slow-every", type=int, default=0)
    parser.add_argument("--slow-ms", type=float, default=300.0)
    options = parser.parse_args()
    DummyProtocol.fail_every = options.fail_every
    DummyProtocol.slow_every = options.slow_every
    DummyProtocol.slow_s = options.slow_ms / 1e3
    uvloop.run(_serve(options.host, options.port))


if __name__ == "__main__":
    main()
