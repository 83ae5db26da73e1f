"""The rules of our front door, put into the HAProxy configuration that Ray Serve has rendered.

Source of the directives: HAProxy 2.8's configuration manual. Pure: text in, text out.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from setup.ingress.answers import file_of

MARK: Final = "# Rewritten by setup/ingress."

HEAD_S: Final = 5
"""For the whole head of a request, and again for its body (of that, what one buffer holds)."""
SILENCE_S: Final = 15
"""A client that sends or reads nothing in the middle of a request or an answer."""
CONNECT_MS: Final = 500
"""For a connection to a replica. A kernel answers however busy its processes are, so none in this
time means a host without power, or one that cannot be reached; after three in a row the replica is
marked down (``observe layer4`` in Serve's template), and up by the next check that succeeds."""
UNACKNOWLEDGED_MS: Final = 2_000
"""The same for connections that were open before: none is kept whose other side has acknowledged
nothing for so long, be it a request or the keepalive that is sent each second. Nor one that has no
room for the rest of a request."""
PLACES: Final = 16_000
"""Connections at a time, where the limit of open files allows."""
OTHER_FILES: Final = 1_500
"""Open files that are no client's connection: to replicas, for health checks, admin socket."""
FEWEST_PLACES: Final = 256
FLOOD_S: Final = 1
KEPT: Final = 0.75
"""While more of the places than this are taken each answer closes its connection. So idle ones,
which wait for `http-keep-alive`, never take all: the others must send or go within `HEAD_S`."""


@dataclass(frozen=True)
class EndpointQueue:
    """Requests that share a queue, so that a slow endpoint does not delay the others.

    HAProxy hands each replica ``at_a_time`` requests and queues the rest; those that wait longer
    than ``queue_ms`` get HAProxy's own 503, at a tenth of the cost of a refusal in Python. While
    more than ``flood`` wait, further ones get their 503 only after `FLOOD_S`: a thousand clients
    that retry without a pause would otherwise be refused 15,000 times a second.
    """

    name: str
    condition: str
    """HAProxy's; the first that holds decides. Empty: everything else."""
    at_a_time: int
    queue_ms: int
    answer_s: int
    """Longest silence of a replica; longer than its own time-out."""
    flood: int = 0
    """Requests in the queue; 0 for no such rule."""
    stores: bool = False
    """Whether a replica that died leaves open if something was stored: 504, and not 503."""
    unacknowledged_ms: int = UNACKNOWLEDGED_MS


# Decoded, as a replica does it: /user%5Ftags is the same path.
_STORES: Final = "{ path,url_dec -m str /user_tags }"
_LARGE_BODY: Final = "{ req.body_size ge 8192 }"
_LARGE_HEAD: Final = "{ req.hdrs,length ge 4096 }"
"""What may not have fitted a buffer of 16 KiB comes at its client's pace while a replica waits."""

QUEUES: Final = (
    # A tag has some hundred bytes. So few of these at a time that bodies which never end, hundreds
    # of them at once, take neither a replica's time nor the places of queries.
    EndpointQueue(
        "large_tags",
        f"{_STORES} {_LARGE_BODY} or {_STORES} {_LARGE_HEAD}",
        at_a_time=10,
        queue_ms=1_000,
        answer_s=65,
        stores=True,
    ),
    # A query's body may hold the answer that it expects.
    EndpointQueue(
        "large",
        f"{_LARGE_BODY} or {_LARGE_HEAD}",
        at_a_time=100,
        queue_ms=1_000,
        answer_s=65,
        # A body of any size waits for a replica that stands still.
        unacknowledged_ms=15_000,
    ),
    # Three replicas have 90 at a time: 3,000/s take 30 ms then, and a stop of a tenth of a second
    # at 1,000/s refuses nobody. With the wait it is half of the client's 200 ms; where a machine is
    # so slow that it is more, the replicas' own rule acts (serve_app/admission.py).
    EndpointQueue("tags", _STORES, at_a_time=30, queue_ms=60, answer_s=10, flood=100, stores=True),
    EndpointQueue(
        "profiles",
        "{ path,url_dec -m beg /user_profiles/ }",
        at_a_time=30,
        queue_ms=60,
        answer_s=10,
        flood=100,
    ),
    # Aggregate queries may wait for 55 s on purpose.
    EndpointQueue("", "", at_a_time=200, queue_ms=1_000, answer_s=65),
)

_METHODS: Final = "GET HEAD POST PUT DELETE OPTIONS PATCH TRACE"
"""What uvicorn's parser knows and has no meaning of its own to a proxy."""


def leaving_file(folder: Path) -> Path:
    """Networks whose clients are to go elsewhere, one per line; `setup.ingress.leave` writes it."""
    return folder / "leaving.lst"


class UnknownTemplateError(Exception):
    """Serve's configuration is not the one that these rules were written for."""


def rewrite(text: str, folder: Path, *, open_files: int) -> str:
    """The configuration with our rules; one that has them already comes back as it is.

    Args:
        text: what Serve rendered.
        folder: of HAProxy's own answers (`setup.ingress.answers`) and of `leaving_file`.
        open_files: the hard limit of open files.

    Raises:
        UnknownTemplateError: something that has to be replaced is not there, or not once.
    """
    if text.startswith(MARK):
        return text
    sections = _Sections(text)
    places = max(FEWEST_PLACES, min(PLACES, open_files - OTHER_FILES))
    _global(sections, places)
    _defaults(sections, folder)
    _frontend(sections, folder, kept=int(places * KEPT))
    _default_backend(sections, folder)
    _pages(sections)
    _queues(sections, folder)
    return f"{MARK}\n{sections.text()}"


class _Sections:
    """A configuration as sections: each a line such as ``backend x`` and those below it."""

    def __init__(self, text: str) -> None:
        self.all: list[tuple[str, list[str]]] = []
        for line in text.splitlines():
            if re.match(r"(global|defaults|frontend|backend|listen|peers|resolvers)\b", line):
                self.all.append((line.strip(), []))
            elif self.all:
                self.all[-1][1].append(line)

    def lines(self, header: str) -> list[str]:
        """The lines of the one section that begins so, to be changed in place."""
        found = [lines for line, lines in self.all if line == header]
        if len(found) != 1:
            raise UnknownTemplateError(f"{len(found)} sections `{header}`, not one")
        return found[0]

    def add(self, header: str, lines: list[str]) -> None:
        self.all.append((header, lines))

    def text(self) -> str:
        return "".join("\n".join((header, *lines)) + "\n" for header, lines in self.all)


def _global(sections: _Sections, places: int) -> None:
    lines = sections.lines("global")
    _set(lines, "maxconn", f"maxconn {places}")
    # HAProxy counts two files per connection, and does not start if there are too few; but
    # connections to replicas are bounded by the queues.
    lines.append("    no strict-limits")
    _drop_logs(lines)


def _defaults(sections: _Sections, folder: Path) -> None:
    lines = sections.lines("defaults")
    _drop_logs(lines)
    _set(lines, "timeout client", f"timeout client {SILENCE_S}s")
    _set(lines, "timeout connect", f"timeout connect {CONNECT_MS}ms")
    for line in list(lines):
        # Serve makes a 500 of each. A replica that went away in mid-request leaves it open whether
        # the tag is stored.
        if line.split()[:1] == ["errorfile"]:
            lines.remove(line)
    answers = {
        **{status: "400" for status in ("400", "401", "404", "405", "407", "410")},
        **{status: "400" for status in ("421", "422", "425", "429", "501")},
        "403": "403",
        "408": "408",
        "413": "413",
        "503": "503",
        **{status: "504" for status in ("500", "502", "504")},
    }
    lines += [
        f"    timeout http-request {HEAD_S}s",
        # The default; each backend has its own.
        "    timeout server 65s",
        "    timeout queue 1s",
        f"    timeout tarpit {FLOOD_S}s",
        "    option srvtcpka",
        "    srvtcpka-idle 1s",
        "    srvtcpka-intvl 1s",
        # No answer to a connection that never asked; browsers open some ahead.
        "    option http-ignore-probes",
        "    option disable-h2-upgrade",
        *(f"    errorfile {status} {file_of(folder, at)}" for status, at in answers.items()),
    ]


def _frontend(sections: _Sections, folder: Path, *, kept: int) -> None:
    lines = sections.lines("frontend http_frontend")
    _drop_logs(lines)
    (bind,) = _only(lines, "bind")
    bad, method = file_of(folder, "400"), file_of(folder, "405")
    plain = "{ res.hdr(content-type) -m beg text/plain }"
    rules = [
        f"http-request return status 400 errorfile {bad} unless {{ path -m beg / }}",
        f"http-request return status 405 errorfile {method} unless {{ method {_METHODS} }}",
        # An absolute target means its path; nothing here speaks another protocol.
        "http-request set-uri %[pathq] unless { url -m beg / }",
        "http-request del-header Upgrade",
        "http-request del-header HTTP2-Settings",
        f"http-request set-var(txn.stores) bool(true) if {_STORES}",
        # A replica is not asked before the body is there, or fills a buffer.
        f"http-request wait-for-body time {HEAD_S}s if {{ req.body_size gt 0 }} or "
        "{ req.hdr(transfer-encoding) -m found } or { req.hdr(content-length) -m found }",
        # When it had the whole request, so that a replica knows what it waited
        # (serve_app/admission.py).
        "http-request set-header X-Request-Start t=%[date(0,us)]",
        f"http-after-response set-header Connection close if {{ fe_conn gt {kept} }} "
        f"or {{ src -f {leaving_file(folder)} }}",
        # What uvicorn and Serve say by themselves is plain text.
        f"http-response return status 400 errorfile {bad} if {plain} {{ status 400 404 431 }}",
        f"http-response return status 503 errorfile {file_of(folder, '503')} "
        f"if {plain} {{ status 503 }}",
        # Of a tag it may or may not be stored; a query is simply asked again.
        f"http-response return status 504 errorfile {file_of(folder, '504')} "
        f"if {plain} {{ status 408 499:502 504 }} {{ var(txn.stores) -m bool }}",
        f"http-response return status 503 errorfile {file_of(folder, '503')} "
        f"if {plain} {{ status 408 499:502 504 }}",
    ]
    at = lines.index(bind) + 1
    lines[at:at] = [f"    {rule}" for rule in rules]


def _default_backend(sections: _Sections, folder: Path) -> None:
    """One application is at "/", so a path that none has is one whose application is to come."""
    lines = sections.lines("backend default_backend")
    (line,) = _only(lines, "http-request return status 404")
    answer = f"http-request return status 503 errorfile {file_of(folder, '503')}"
    lines[lines.index(line)] = f"    {answer}"


def _pages(sections: _Sections) -> None:
    """Statistics are for this machine: no setting of Serve's says where their ports bind."""
    for header in ("frontend prometheus", "listen stats"):
        lines = sections.lines(header)
        _drop_logs(lines)
        (line,) = _only(lines, "bind")
        lines[lines.index(line)] = re.sub(r"bind \*?:", "bind 127.0.0.1:", line)


def _queues(sections: _Sections, folder: Path) -> None:
    frontend = sections.lines("frontend http_frontend")
    # None until Serve has configured an application.
    for header, lines in list(sections.all):
        kind, _, name = header.partition(" ")
        if kind != "backend" or name == "default_backend" or not _with(lines, "server"):
            continue
        _drop_logs(lines)
        if _with(frontend, f"acl is_{name} path_beg / "):
            use = _only(frontend, f"use_backend {name} if")[0]
            for queue in QUEUES:
                if queue.name:
                    sections.add(f"{header}.{queue.name}", _with_queue(lines, queue, folder))
                    own = f"    use_backend {name}.{queue.name} if {queue.condition}"
                    frontend.insert(frontend.index(use), own)
                if queue.flood:
                    rule = (
                        f"    http-request tarpit status 503 errorfile {file_of(folder, '503')} "
                        f"if {queue.condition} {{ queue({name}.{queue.name}) ge {queue.flood} }}"
                    )
                    frontend.insert(frontend.index(_with(frontend, "use_backend")[0]), rule)
        lines[:] = _with_queue(lines, QUEUES[-1], folder)


def _with_queue(backend: list[str], queue: EndpointQueue, folder: Path) -> list[str]:
    asked_in_vain = [] if queue.stores else ["500", "502", "504"]
    servers = f" tcp-ut {queue.unacknowledged_ms}ms maxconn {queue.at_a_time}"
    # `server` comes last: what has to stand before it is put first.
    return [
        *(f"    errorfile {status} {file_of(folder, '503')}" for status in asked_in_vain),
        # Serve's option makes a client that closes its sending half a bad request, though a replica
        # has its tag by then, and stores it.
        *(["    no option abortonclose"] if queue.stores else []),
        f"    timeout queue {queue.queue_ms}ms",
        f"    timeout server {queue.answer_s}s",
        *(line + servers if _is(line, "server") else line for line in backend),
    ]


def _drop_logs(lines: list[str]) -> None:
    """Drop the access log: nobody listens, and a datagram per request is a fifth of its time."""
    logs = ("log", "no log", "option httplog")
    lines[:] = [line for line in lines if not any(_is(line, one) for one in logs)]


def _set(lines: list[str], directive: str, value: str) -> None:
    (line,) = _only(lines, directive)
    lines[lines.index(line)] = f"    {value}"


def _only(lines: list[str], directive: str) -> list[str]:
    found = _with(lines, directive)
    if len(found) != 1:
        raise UnknownTemplateError(f"{len(found)} lines `{directive}`, not one")
    return found


def _with(lines: list[str], directive: str) -> list[str]:
    return [line for line in lines if _is(line, directive)]


def _is(line: str, directive: str) -> bool:
    return f"{line.strip()} ".startswith(directive if directive.endswith(" ") else f"{directive} ")
