"""The sender's reports: nothing is missing, nothing is reported twice."""

import asyncio
from dataclasses import replace

from tests.panel.reference_server import Fault, ReferenceModel, ReferenceServer
from tests.panel.test_panel_end_to_end import OPTIONS
from tests.webpanel.counters import Counters
from tests.webpanel.subscription import Subscription
from tests.webpanel.ui.reporter import Message, Reporter, totals


def test_drops_by_kind_add_up_to_all() -> None:
    counters = Counters()
    counters.tags.answered(503)
    counters.tags.answered(200)  # in time, but a tag must be answered with 204
    counters.tags.dropped = 2
    kinds = {name: value for name, value in totals(counters).items() if name.startswith("dropped")}
    assert sum(kinds.values()) == counters.dropped
    assert kinds["dropped_status_5xx"] == kinds["dropped_status_other"] == 1


def test_rates_and_wrong_answers_of_a_faulty_run() -> None:
    told: list[Message] = []

    async def go() -> Subscription:
        options = replace(OPTIONS, duration_s=2.5)
        async with ReferenceServer(ReferenceModel(Fault.TIME_NORMALISED)) as port:
            subscription = Subscription(replace(options, port=port))
            reporter = Reporter(subscription)
            await subscription.start()
            waiting = asyncio.create_task(subscription.wait())
            while not waiting.done():
                await asyncio.wait([waiting], timeout=0.1)
                told.extend(reporter.news())
            await subscription.close()
            return subscription

    counters = asyncio.run(go()).counters
    assert counters.wrong
    points = [one["point"] for one in told if one["type"] == "second"]
    assert points
    sent = [point["user_tags_sent"] for point in points]
    assert 0 < max(sent) < 3 * OPTIONS.rate
    assert all(point["user_tags_p50_ms"] <= point["user_tags_p99_ms"] for point in points[:2])
    numbers = [one["number"] for m in told if m["type"] == "wrong" for one in m["answers"]]
    assert numbers == sorted(set(numbers))
    assert max(numbers) <= counters.wrong
