"""Random heads of requests: complete ones with something unusual in them."""

from dataclasses import dataclass
from itertools import pairwise

from hypothesis import strategies as st

from tests.fakes.http import BODY

_ODD_BYTES = st.binary(max_size=40)
_TOKEN = st.text("abcXYZ-_09!#$%&'*+.^`|~", min_size=1, max_size=12).map(str.encode)
_METHODS = st.sampled_from(
    [b"GET", b"HEAD", b"PUT", b"OPTIONS", b"CONNECT", b"TRACE", b"PRI", b"post"]
)
_PATHS = st.sampled_from(
    [
        b"/user_tags",
        b"/user_tags?",
        b"//user_tags",
        b"/./user_tags",
        b"/user%5Ftags",
        b"/user_profiles/me?time_range=2022-03-01T00:00:00_2022-03-01T00:01:00",
        b"/user_profiles/%ff",
        b"/aggregates",
        b"/health",
        b"/docs",
        b"/-/healthz",
        b"/-/routes",
        b"http://x/user_tags",
        b"HTTP://x:80/user_tags",
        b"x:80",
        b"*",
        b"",
    ]
)
_VERSIONS = st.sampled_from([b" HTTP/1.0", b" HTTP/2.0", b" HTTP/0.9", b" http/1.1", b"", b" "])
_NAMES = st.sampled_from(
    [
        b"Host",
        b"Content-Length",
        b"Transfer-Encoding",
        b"TE",
        b"Trailer",
        b"Connection",
        b"Keep-Alive",
        b"Proxy-Connection",
        b"Upgrade",
        b"HTTP2-Settings",
        b"Sec-WebSocket-Key",
        b"Sec-WebSocket-Version",
        b"Expect",
        b"Content-Encoding",
        b"Content-Type",
        b"Authorization",
        b"Cookie",
        b"Range",
        b"X-Request-ID",
        b"X_Request_ID",
        b"X-Session-ID",
        b"X-Request-Timeout-Seconds",
        b"X-Request-Disconnect-Disabled",
        b"X-Request-Start",
        b"X-Forwarded-For",
        b"X-Forwarded-Proto",
        b"Forwarded",
        b"serve_multiplexed_model_id",
        b"traceparent",
        b"tracestate",
    ]
)
_VALUES = st.sampled_from(
    [
        b"",
        b"0",
        b"1",
        b"-1",
        b"+5",
        b"0x10",
        b"1e3",
        b"18446744073709551616",
        b"%d" % len(BODY),
        b"%d, %d" % (len(BODY), len(BODY)),
        b"chunked",
        b"Chunked",
        b"chunked, chunked",
        b"gzip, chunked",
        b"identity",
        b"gzip",
        b"br",
        b"close",
        b"keep-alive",
        b"upgrade",
        b"close, upgrade, transfer-encoding, content-length, host, x-request-id",
        b"h2c",
        b"websocket",
        b"13",
        b"100-continue",
        b"trailers",
        b"x",
        b"x, y",
        b"\xff",
        b"?1",
        b"t=1",
        b"https",
        b"bytes=0-1",
        b"y" * 5_000,
        b"y" * 15_500,
    ]
)
_WILD = st.tuples(
    st.one_of(_NAMES, _TOKEN, _ODD_BYTES),
    st.sampled_from([b": ", b":", b" : ", b":\t", b" ", b""]),
    st.one_of(_VALUES, _ODD_BYTES),
    st.sampled_from([b"\r\n", b"\n", b"\r", b"\r\n "]),
).map(b"".join)
_PLAIN_VALUES = st.text(st.characters(codec="latin-1", categories=("L", "N", "P", "S"))).map(
    lambda text: text.encode("latin-1")
)
_WELL_FORMED = st.tuples(
    st.one_of(_NAMES, _TOKEN), st.just(b": "), st.one_of(_VALUES, _PLAIN_VALUES), st.just(b"\r\n")
).map(b"".join)
_BODIES = st.sampled_from(
    [b"", b"{", BODY[:-1], BODY * 2, b" " * 20_000, b"3\r\nabc\r\n0\r\n\r\n", b"0\r\n\r\n"]
)


@dataclass(frozen=True)
class Request:
    """Bytes of a request, and where to split them into several writes."""

    data: bytes
    cuts: tuple[int, ...]

    @property
    def parts(self) -> list[bytes]:
        """The bytes of each write."""
        edges = [0, *sorted(cut % (len(self.data) + 1) for cut in self.cuts), len(self.data)]
        return [self.data[a:b] for a, b in pairwise(edges) if a < b]


@st.composite
def _requests(draw: st.DrawFn) -> bytes:
    def mostly(usual: bytes, others: st.SearchStrategy[bytes]) -> bytes:
        return draw(others) if draw(st.integers(0, 5)) == 5 else usual

    method = mostly(b"POST", st.one_of(_METHODS, _TOKEN))
    line = method + b" " + mostly(b"/user_tags", _PATHS) + mostly(b" HTTP/1.1", _VERSIONS) + b"\r\n"
    body = mostly(BODY, _BODIES)
    headers = [
        mostly(b"Host: x\r\n", st.just(b"")),
        mostly(b"Content-Length: %d\r\n" % len(body), st.just(b"")),
        *draw(st.lists(_WELL_FORMED, max_size=3)),
        mostly(b"", _WILD),
    ]
    return line + b"".join(draw(st.permutations(headers))) + b"\r\n" + body


REQUESTS = st.builds(
    Request,
    # Several on one connection; mostly one.
    st.lists(_requests(), min_size=1, max_size=3).map(b"".join),
    st.lists(st.integers(0, 100_000), max_size=3).map(tuple),
)
