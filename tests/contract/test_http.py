"""HTTP itself: methods, paths, connections, and unusual requests."""

import asyncio
import json

import jsonschema
import pytest

from tests.contract.api import PROFILE_PROMISE_S, Api, Minutes, check_problem, new_cookie
from tests.marks import second_tier
from tests.oracle import Tag
from tests.tags import new_tag
from tests.waiting import eventually

ENDPOINTS = ["/user_tags", "/user_profiles/abc", "/aggregates"]
HOST = b"Host: 127.0.0.1\r\n"


def post(target: str, body: bytes, *headers: bytes) -> bytes:
    """The bytes of a request."""
    head = b"POST %s HTTP/1.1\r\n%sContent-Length: %d\r\n" % (target.encode(), HOST, len(body))
    return head + b"".join(header + b"\r\n" for header in headers) + b"\r\n" + body


def tag_body(cookie: str, minutes: Minutes, millisecond: int = 1) -> bytes:
    return json.dumps(new_tag(cookie, minutes.time(0, millisecond))).encode()


@pytest.mark.parametrize("path", ENDPOINTS)
@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS"])
async def test_other_methods_are_405_and_leave_the_connection_usable(
    api: Api, path: str, method: str
) -> None:
    async with api.wire() as wire:
        body = b"" if method in ("GET", "HEAD") else b"x" * 200_000
        request = post(path, body).replace(b"POST", method.encode(), 1)
        await wire.send(request)
        answer = await wire.answer(head=method == "HEAD")
        assert answer.headers["allow"] == "POST"
        if method == "HEAD":
            assert answer.status == 405
        else:
            check_problem(answer, 405)
        await wire.send(post("/user_tags", b"{"))
        check_problem(await wire.answer(), 400)


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("path", ["/nowhere", "/user_tag", "/user_profiles", "/aggregates/x"])
async def test_other_paths_are_404(api: Api, method: str, path: str) -> None:
    answer = await api.http.request(method, path)
    check_problem(answer, 404)


async def test_a_refused_body_leaves_the_connection_usable(api: Api) -> None:
    async with api.wire() as wire:
        for _ in range(3):
            await wire.send(post("/user_tags", b" " * 1_000_000))
            check_problem(await wire.answer(), 413)
            await wire.send(post("/user_profiles/a?limit=x", b" " * 300_000))
            check_problem(await wire.answer(), 422, "time_range")
            await wire.send(post("/nowhere", b" " * 300_000))
            check_problem(await wire.answer(), 404)


@second_tier
async def test_a_thousand_requests_on_one_connection(api: Api, minutes: Minutes) -> None:
    cookie = new_cookie()
    query = f"/user_profiles/{cookie}?time_range={minutes.range()}"
    async with api.wire() as wire:
        sizes = set()
        for number in range(500):
            await wire.send(post("/user_tags", tag_body(cookie, minutes, number)))
            answer = await wire.answer()
            assert answer.status == 204
            sizes.add(len(str(answer.headers)))
            await wire.send(post(query, b""))
            assert (await wire.answer()).status == 200
        # No answer is larger than the one before it.
        assert max(sizes) - min(sizes) < 20


async def test_requests_may_be_sent_before_answers_come(api: Api, minutes: Minutes) -> None:
    cookie = new_cookie()
    query = f"/user_profiles/{cookie}?time_range={minutes.range()}"
    async with api.wire() as wire:
        requests = [post("/user_tags", tag_body(cookie, minutes, n)) for n in range(20)]
        await wire.send(b"".join(requests) + post(query, b"{}") + post("/nowhere", b""))
        assert [(await wire.answer()).status for _ in range(20)] == [204] * 20
        answer = await wire.answer()
        # Tags do not wait for Redis, so the query may have overtaken some of them.
        assert len(json.loads(answer.body)["views"]) <= 20
        assert (await wire.answer()).status == 404

    async def are_there() -> bool:
        return len((await api.profile(cookie, minutes.range()))["views"]) == 20

    await eventually(are_there, timeout_s=PROFILE_PROMISE_S)


async def test_expect_100_continue(api: Api, minutes: Minutes) -> None:
    cookie = new_cookie()
    body = tag_body(cookie, minutes)
    async with api.wire() as wire:
        request = post("/user_tags", body, b"Expect: 100-continue")
        await wire.send(request[: -len(body)])
        assert (await wire.answer()).status == 100
        await wire.send(body)
        assert (await wire.answer()).status == 204
    api.oracle.accept(json.loads(body))
    await api.check_profile(cookie, minutes.range())


@pytest.mark.parametrize("size", [1, 10, 100_000])
async def test_chunked_bodies(api: Api, minutes: Minutes, size: int) -> None:
    cookie = new_cookie()
    body = tag_body(cookie, minutes)
    chunks = [body[at : at + size] for at in range(0, len(body), size)]
    async with api.wire() as wire:
        await wire.send(
            b"POST /user_tags HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n"
        )
        for chunk in chunks:
            await wire.send(b"%x\r\n%s\r\n" % (len(chunk), chunk))
        await wire.send(b"0\r\n\r\n")
        assert (await wire.answer()).status == 204
    api.oracle.accept(json.loads(body))
    await api.check_profile(cookie, minutes.range())


async def test_a_chunked_body_over_the_limit_is_413(api: Api) -> None:
    async with api.wire() as wire:
        await wire.send(
            b"POST /user_tags HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n"
        )
        for _ in range(9):
            await wire.send(b"2000\r\n" + b" " * 8192 + b"\r\n")
        await wire.send(b"0\r\n\r\n")
        check_problem(await wire.answer(), 413)


async def test_a_body_that_comes_slowly(api: Api, minutes: Minutes) -> None:
    cookie = new_cookie()
    body = tag_body(cookie, minutes)
    request = post("/user_tags", body)
    async with api.wire() as wire:
        for at in range(0, len(request), 40):
            await wire.send(request[at : at + 40])
            await asyncio.sleep(0.05)
        assert (await wire.answer()).status == 204
    api.oracle.accept(json.loads(body))
    await api.check_profile(cookie, minutes.range())


async def test_half_a_body_stores_nothing(api: Api, minutes: Minutes) -> None:
    cookie = new_cookie()
    body = tag_body(cookie, minutes)
    chunked = b"POST /user_tags HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n"
    for half in (
        post("/user_tags", body)[:-10],
        # The complete JSON, but less than Content-Length.
        post("/user_tags", body + b" ")[:-1],
        chunked + b"%x\r\n%s\r\n" % (len(body), body),
    ):
        async with api.wire() as wire:
            await wire.send(half)
            await asyncio.sleep(0.1)
            wire.reset()
    # If the three had been stored, they would be visible before the tag that is queried now.
    marker = new_tag(cookie, minutes.time(0, 2))
    await api.accept([marker])
    await api.check_profile(cookie, minutes.range())
    await api.check_aggregates(minutes.range(0, 1))


async def test_a_client_that_does_not_wait_for_its_answer_is_served_all_the_same(
    api: Api, minutes: Minutes
) -> None:
    cookie = new_cookie()
    for number in range(10):
        async with api.wire() as wire:
            await wire.send(post("/user_tags", tag_body(cookie, minutes, number)))
            # Let the complete request arrive; the answer waits for the linger of 10 ms.
            await asyncio.sleep(0.005)
            wire.reset()
    marker = new_tag(cookie, minutes.time(1, 1))
    assert (await api.post_tag(marker)).status_code == 204

    async def agree() -> bool:
        views = (await api.profile(cookie, minutes.range()))["views"]
        found = await api.aggregates(minutes.range(0, 2), "VIEW", ["COUNT"])
        return marker in views and bool(found["rows"][0][-1] == str(len(views) - 1))

    # Each is stored completely or not at all: profile and sums agree.
    await eventually(agree, timeout_s=PROFILE_PROMISE_S)


async def test_five_hundred_clients_at_once(api: Api, minutes: Minutes) -> None:
    cookies = [new_cookie() for _ in range(100)]
    tags = [new_tag(cookies[n % 100], minutes.time(n % 3, n), price=n) for n in range(500)]

    async def client(tag: Tag) -> int:
        for _ in range(10):
            async with api.wire() as wire:
                await everybody.wait()
                await wire.send(post("/user_tags", json.dumps(tag).encode()))
                answer = await wire.answer()
            if answer.status != 503:
                break
            # A slow machine may be overloaded: refused with a reason, then retried.
            assert answer.headers["retry-after"] == "1"
            await asyncio.sleep(1)
        return answer.status

    everybody = asyncio.Event()
    clients = [asyncio.create_task(client(tag)) for tag in tags]
    await asyncio.sleep(0)
    everybody.set()
    assert await asyncio.gather(*clients) == [204] * 500
    api.oracle.accept(*tags)
    await asyncio.gather(*(api.check_profile(cookie, minutes.range()) for cookie in cookies))
    await api.check_aggregates(minutes.range())


async def test_long_headers_and_a_long_query_are_no_reason_to_fail(
    api: Api, minutes: Minutes
) -> None:
    answer = await api.http.post(
        f"/user_profiles/abc?time_range={minutes.range()}&padding={'x' * 2_000}",
        headers={"x-padding": "y" * 1_000},
    )
    assert answer.status_code == 200


async def test_openapi_describes_the_running_api(api: Api) -> None:
    answer = await api.http.get("/openapi.json")
    assert answer.status_code == 200
    paths = answer.json()["paths"]
    assert {"/user_tags", "/user_profiles/{cookie}", "/aggregates"} <= set(paths)
    for schema in answer.json()["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)
    assert (await api.http.get("/docs")).status_code == 200


async def test_health_names_each_store(api: Api) -> None:
    answer = await api.http.get("/health")
    assert answer.status_code == 200
    content = answer.json()
    assert content["status"] == "ok"
    assert {name: store["status"] for name, store in content["stores"].items()} == {
        "redis": "ok",
        "kafka": "ok",
        "mysql": "ok",
    }


async def test_serves_own_health_check_answers(api: Api) -> None:
    assert (await api.http.get("/-/healthz")).status_code == 200
