"""The Subscription API over HTTP: its rules, its errors, its events. No browser needed."""

import json
from typing import Any

import httpx
import pytest

from tests.browser.faulty_server import FaultyModel
from tests.browser.panel import Panel, panel_server
from tests.browser.test_page import QUICK
from tests.waiting import wait_until


@pytest.fixture
def client(panel: Panel) -> Any:
    with httpx.Client(base_url=panel.url, timeout=30) as opened:
        yield opened


def new(client: httpx.Client, port: int, **parameters: Any) -> str:
    answer = client.post("/subscriptions", json={**QUICK, "port": port, **parameters})
    assert answer.status_code == 201, answer.text
    document = answer.json()
    assert answer.headers["location"] == f"/subscriptions/{document['id']}"
    return str(document["id"])


def until_state(client: httpx.Client, run_id: str, state: str) -> dict[str, Any]:
    def reached() -> dict[str, Any] | None:
        document: dict[str, Any] = client.get(f"/subscriptions/{run_id}").json()
        return document if document["state"] == state else None

    document: dict[str, Any] = wait_until(f"state {state}", reached)
    return document


def final_report(client: httpx.Client, run_id: str) -> dict[str, Any]:
    """Wait until counters are final: an ending sender may have a request in flight."""

    def ended() -> dict[str, Any] | None:
        report: dict[str, Any] = client.get(f"/subscriptions/{run_id}/report").json()
        return report if report["ended_at"] else None

    report: dict[str, Any] = wait_until("the end", ended)
    return report


def problem(answer: httpx.Response, status: int) -> str:
    """The detail of a problem document with that status."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    document = answer.json()
    assert document["status"] == status
    return str(document["detail"])


def events(client: httpx.Client, wanted: set[str]) -> dict[str, Any]:
    """The last data of each event, once all that are wanted have come."""
    found: dict[str, Any] = {}
    name = ""
    with client.stream("GET", "/events") as stream:
        for line in stream.iter_lines():
            if line.startswith("event: "):
                name = line.removeprefix("event: ")
                assert found or name == "whole", "the first event is the whole state"
            elif line.startswith("data: "):
                found[name] = json.loads(line.removeprefix("data: "))
                if wanted <= set(found):
                    break
    return found


def test_one_subscription_from_start_to_report(
    client: httpx.Client, port: int, server: FaultyModel
) -> None:
    server.every = 3
    assert client.get("/subscriptions").json() == []
    run_id = new(client, port)
    until_state(client, run_id, "running")

    assert "close it first" in problem(client.post("/subscriptions", json={"port": port}), 409)
    assert "not paused" in problem(client.post(f"/subscriptions/{run_id}/resume"), 409)
    assert client.post(f"/subscriptions/{run_id}/pause").json()["state"] == "paused"
    sent = client.get(f"/subscriptions/{run_id}/counters").json()["tags"]["sent"]
    assert "not draining or running" in problem(client.post(f"/subscriptions/{run_id}/pause"), 409)
    assert client.get(f"/subscriptions/{run_id}/counters").json()["tags"]["sent"] == sent
    assert client.post(f"/subscriptions/{run_id}/resume").json()["state"] == "running"

    told = events(client, {"whole", "counters", "point", "platform", "wrong"})
    assert told["whole"]["subscription"]["id"] == run_id
    assert told["platform"]["partitions"][0]["lag"] == 0
    assert told["counters"]["counters"]["tags"]["sent"] > sent

    running = client.get(f"/subscriptions/{run_id}/report").json()
    assert running["state"] == "running"
    assert running["counters"]["tags"]["sent"] > sent
    assert client.post(f"/subscriptions/{run_id}/close").json()["state"] == "closed"
    report = final_report(client, run_id)
    assert report["parameters"]["seed"] == 1
    assert report["latency_ms"]["user_tags"]["count"] > 0
    history = report["history"]["columns"]
    assert len({len(column) for column in history.values()}) == 1
    assert any(history["lag_0"][at] is not None for at in range(len(history["lag_0"])))

    listed = client.get(f"/subscriptions/{run_id}/wrong-answers").json()
    assert listed["total"] == report["counters"]["wrong"] >= len(listed["kept"]) > 0
    number = listed["kept"][0]["number"]
    wrong = client.get(f"/subscriptions/{run_id}/wrong-answers/{number}").json()
    assert json.loads(wrong["expected"]) != json.loads(wrong["actual"])
    assert wrong["curl"].startswith(f"curl -sS -X POST 'http://127.0.0.1:{port}/")
    words = client.get(f"/subscriptions/{run_id}/report", params={"format": "markdown"}).text
    assert wrong["curl"] in words
    assert f"| User tags | {report['counters']['tags']['sent']:,} |" in words


def test_a_second_subscription_begins_after_the_first(
    client: httpx.Client, port: int, server: FaultyModel
) -> None:
    new_id = new(client, port, duration_s=1)
    first = until_state(client, new_id, "finished")
    assert first["parameters"]["start"] == "2022-03-01T00:00:00Z"
    again = new(client, port, duration_s=1)
    second = until_state(client, again, "finished")
    assert second["parameters"]["start"] == "2022-03-01T00:01:00Z"
    assert second["counters"]["wrong"] == 0
    problem(client.get(f"/subscriptions/{new_id}"), 404)
    for given in ("2022-05-01T00:00:00", "2022-05-01T02:00:00+02:00"):  # no zone: UTC
        chosen = until_state(client, new(client, port, duration_s=1, start=given), "finished")
        assert chosen["parameters"]["start"] == "2022-05-01T00:00:00Z"


def test_what_is_refused(client: httpx.Client, panel: Panel, port: int) -> None:
    def refused(**parameters: Any) -> str:
        return problem(client.post("/subscriptions", json={"port": port, **parameters}), 422)

    assert refused(rate=0).startswith("rate: ")
    assert refused(port=65_536).startswith("port: ")
    assert refused(step_ms=0.5).startswith("step_ms: ")
    assert refused(host="a b").startswith("host: ")
    assert refused(speed=3).startswith("speed: ")
    nobody = client.post("/subscriptions", json={"port": 1})
    assert problem(nobody, 502) == "nothing listens at 127.0.0.1:1"
    problem(client.get("/subscriptions/none"), 404)
    problem(client.get("/explore/profile", params={"cookie": "x"}), 422)
    query = {"cookie": "x", "time_range": "a_b", "port": "1"}
    problem(client.get("/explore/profile", params=query), 502)
    # Another site's page in the same browser, and a name that was made to point here.
    foreign = {"Origin": "http://example.org"}
    body = {**QUICK, "port": port}
    problem(client.post("/subscriptions", json=body, headers=foreign), 403)
    assert client.get("/", headers={"Host": "example.org"}).status_code == 400
    own = {"Origin": panel.url}
    assert client.post("/subscriptions", json=body, headers=own).status_code == 201


def test_a_sender_that_dies(client: httpx.Client, panel: Panel, port: int) -> None:
    run_id = new(client, port)
    until_state(client, run_id, "running")
    (sender,) = panel.senders()
    sender.kill()
    broken = until_state(client, run_id, "broken")
    assert "killed by signal 9" in broken["error"]
    assert broken["ended_at"]
    report = client.get(f"/subscriptions/{run_id}/report").json()
    assert "killed by signal 9" in report["error"]
    assert not report["flawless"]
    assert client.get(f"/subscriptions/{run_id}/report?format=markdown").text
    new(client, port)


def test_a_token_is_sent_and_not_shown(port: int, server: FaultyModel) -> None:
    server.token, server.every = "very-secret", 3
    with panel_server(port, token="very-secret") as panel:
        client = httpx.Client(base_url=panel.url, timeout=30)
        run_id = new(client, port)
        told = events(client, {"whole", "counters", "wrong", "platform"})
        client.post(f"/subscriptions/{run_id}/close")
        report = client.get(f"/subscriptions/{run_id}/report").json()
        client.close()
    assert told["platform"]["partitions"]
    assert report["counters"]["tags"]["status_2xx"] > 0
    assert report["counters"]["tags"]["status_4xx"] == 0
    assert "Bearer $TAGS_API_TOKEN" in report["latest_wrong_answers"][0]["curl"]
    assert "very-secret" not in json.dumps([told, report])


def test_docs_need_no_network(client: httpx.Client) -> None:
    page = client.get("/docs").text
    assert "://" not in page.replace("http://www.w3.org", "")
    assert client.get("/swagger-ui-bundle.js").status_code == 200
    paths = client.get("/openapi.json").json()["paths"]
    assert "409" in paths["/subscriptions"]["post"]["responses"]
