"""Our rules in the template of the pinned Ray Serve, checked by HAProxy itself."""

import re
import subprocess
from pathlib import Path

import pytest

from setup.ingress.answers import write_answers
from setup.ingress.config import (
    FEWEST_PLACES,
    MARK,
    PLACES,
    QUEUES,
    UnknownTemplateError,
    leaving_file,
    rewrite,
)
from setup.local.tools import find_haproxy
from tests.front.rendering import rendered


def check(text: str, folder: Path) -> None:
    """Let HAProxy check it; AssertionError with its message."""
    write_answers(folder)
    leaving_file(folder).touch()
    file = folder / "checked.cfg"
    file.write_text(text)
    command = [str(find_haproxy()), "-c", "-f", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    warnings = [line for line in done.stderr.splitlines() if "WARNING" in line]
    assert not [one for one in warnings if "FD limit" not in one], done.stderr


def section(text: str, header: str) -> list[str]:
    """The lines of one section, stripped."""
    _, _, rest = text.partition(f"\n{header}\n")
    assert rest, f"no section {header}"
    body = re.split(r"(?m)^(?=[a-z])", rest)[0]
    return [line.strip() for line in body.splitlines()]


STATES: list[dict[str, list[int]]] = [
    {},
    {"http-case12": [30000]},
    {"http-case3": [30001]},
    {"http-case12": []},
    {"http-case12": [30000, 30002, 30003], "http-case3": [30001]},
]


@pytest.mark.parametrize("replicas", STATES)
@pytest.mark.parametrize("host", ["0.0.0.0", "127.0.0.1"])
async def test_haproxy_takes_whatever_serve_renders_with_our_rules(
    tmp_path: Path, replicas: dict[str, list[int]], host: str
) -> None:
    text = rewrite(rendered(tmp_path, replicas, host=host), tmp_path, open_files=100_000)
    check(text, tmp_path)
    assert rewrite(text, tmp_path, open_files=100_000) == text
    assert text.startswith(MARK)
    bound = f"bind {'*' if host == '0.0.0.0' else host}:8000"
    assert section(text, "frontend http_frontend")[0] == bound
    # Unused pages are for loopback only, and there is no log to a port.
    for page in ("frontend prometheus", "listen stats"):
        assert section(text, page)[0].startswith("bind 127.0.0.1:")
    assert not re.search(r"(?m)^ *log ", text)


async def test_each_queue_has_the_replicas_of_the_application_at_the_root(tmp_path: Path) -> None:
    text = rewrite(rendered(tmp_path, STATES[-1]), tmp_path, open_files=100_000)
    for queue in QUEUES:
        lines = section(text, "backend http-case12" + (f".{queue.name}" if queue.name else ""))
        servers = [line for line in lines if line.startswith("server ")]
        assert len(servers) == 4
        # Of a host without power: connections that were open before, and those that are tried.
        ends = f" tcp-ut {queue.unacknowledged_ms}ms maxconn {queue.at_a_time}"
        assert all(line.endswith(ends) for line in servers)
        # Each checks the replicas by itself.
        assert all(" check" in line for line in servers)
        assert f"timeout queue {queue.queue_ms}ms" in lines
    uses = [
        line for line in section(text, "frontend http_frontend") if line.startswith("use_backend")
    ]
    assert uses == [
        "use_backend http-case3 if is_http-case3",
        "use_backend http-case12.large_tags if "
        "{ path,url_dec -m str /user_tags } { req.body_size ge 8192 } or "
        "{ path,url_dec -m str /user_tags } { req.hdrs,length ge 4096 }",
        "use_backend http-case12.large if { req.body_size ge 8192 } or { req.hdrs,length ge 4096 }",
        "use_backend http-case12.tags if { path,url_dec -m str /user_tags }",
        "use_backend http-case12.profiles if { path,url_dec -m beg /user_profiles/ }",
        "use_backend http-case12 if is_http-case12",
    ]
    assert "backend http-case3.tags" not in text


@pytest.mark.parametrize(
    ("open_files", "places"),
    [(1_048_576, PLACES), (20_000, PLACES), (4_096, 2_596), (1_024, FEWEST_PLACES)],
)
async def test_places_are_as_many_as_files_may_be_open(
    tmp_path: Path, open_files: int, places: int
) -> None:
    text = rewrite(rendered(tmp_path, STATES[-1]), tmp_path, open_files=open_files)
    assert f"maxconn {places}" in section(text, "global")
    assert f"if {{ fe_conn gt {places * 3 // 4} }}" in text


@pytest.mark.parametrize("lost", ["maxconn", "timeout client", "backend default_backend", "bind"])
async def test_a_template_that_is_not_known_is_named_and_not_used(
    tmp_path: Path, lost: str
) -> None:
    text = rendered(tmp_path, STATES[-1]).replace(lost, "# gone")
    with pytest.raises(UnknownTemplateError, match=lost):
        rewrite(text, tmp_path, open_files=100_000)
