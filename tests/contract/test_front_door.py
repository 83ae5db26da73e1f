"""The front door of the complete platform: repeats checks that `tests/front` makes with fakes."""

import gzip
import json
from collections import Counter

import pytest

from tests.contract.api import Api, Minutes, check_problem, new_cookie
from tests.contract.test_http import post, tag_body
from tests.front.fuzz import check_others, fuzz
from tests.marks import second_tier


@pytest.mark.parametrize(
    "header",
    [
        b"X-Request-ID: \xff",
        b"X-Session-ID: \xff",
        b"X-Request-Timeout-Seconds: 0.001",
        b"X-Request-Disconnect-Disabled: \xff",
        b"serve_multiplexed_model_id: \xff",
    ],
)
async def test_no_header_of_a_client_keeps_a_tag_from_being_taken(
    api: Api, minutes: Minutes, header: bytes
) -> None:
    cookie = new_cookie()
    body = tag_body(cookie, minutes)
    async with api.wire() as wire:
        await wire.send(post("/user_tags", body, header))
        answer = await wire.answer()
    assert answer.status == 204
    assert answer.headers["x-request-id"].isprintable()
    api.oracle.accept(json.loads(body))
    await api.check_profile(cookie, minutes.range())


async def test_a_gzipped_tag_is_stored_as_what_it_was(api: Api, minutes: Minutes) -> None:
    cookie = new_cookie()
    body = tag_body(cookie, minutes)
    async with api.wire() as wire:
        await wire.send(post("/user_tags", gzip.compress(body), b"Content-Encoding: gzip"))
        assert (await wire.answer()).status == 204
        await wire.send(post("/user_tags", body, b"Content-Encoding: br"))
        check_problem(await wire.answer(), 415)
        bomb = gzip.compress(b" " * 1_000_000)
        await wire.send(post("/user_tags", bomb, b"Content-Encoding: gzip"))
        check_problem(await wire.answer(), 413)
    api.oracle.accept(json.loads(body))
    await api.check_profile(cookie, minutes.range())


@pytest.mark.parametrize("path", ["/", "/docs", "/docs/assets/swagger-ui-bundle.js"])
async def test_pages_come_from_here(api: Api, path: str) -> None:
    answer = await api.http.get(path)
    assert answer.status_code == 200
    assert len(answer.content) > 500


async def test_the_version_names_ray_and_the_stores(api: Api) -> None:
    content = (await api.http.get("/version")).json()
    assert content["ray"]
    assert content["stores"]["redis"]
    assert content["stores"]["mysql"]


# A warning of Hypothesis, as a thread makes random ids meanwhile.
@second_tier
@pytest.mark.filterwarnings("ignore:Do not use the `random` module")
def test_no_head_gets_a_5xx_from_the_whole_platform(address: tuple[str, int]) -> None:
    statuses: Counter[int] = Counter()
    fuzz(address[1], 100, statuses)
    check_others(address[1])
    assert statuses[204]
