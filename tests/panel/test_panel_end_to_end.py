"""The complete panel over loopback: a correct server passes, every fault is found."""

import asyncio
from dataclasses import replace

import pytest

from tests.panel.reference_server import Fault, ReferenceModel, ReferenceServer
from tests.webpanel.options import SubscriptionOptions
from tests.webpanel.report import report
from tests.webpanel.subscription import Subscription

# Event time runs 225 times as fast as the clock: 450 tags over 112 s, one minute closes.
OPTIONS = SubscriptionOptions(
    rate=900,
    duration_s=0.5,
    step_ms=250,
    profile_lag_s=0.15,
    aggregate_lag_s=0.15,
    tags_per_profile=2,
    tags_per_aggregate=8,
    aggregate_interval_s=0.005,
    request_timeout_s=2.0,  # generous: a busy machine must not fail the test
)


async def run(
    fault: Fault, options: SubscriptionOptions = OPTIONS, kept: int | None = None
) -> Subscription:
    """Run a subscription against a reference server with this fault."""
    async with ReferenceServer(ReferenceModel(fault, kept)) as port:
        subscription = Subscription(replace(options, port=port))
        await subscription.start()
        await asyncio.wait_for(subscription.wait(), 20)
        await subscription.close()
    return subscription


@pytest.mark.parametrize("fault", [Fault.NONE, Fault.CHUNKED, Fault.CLOSES])
def test_right_server(fault: Fault) -> None:
    """Nothing wrong, all queries sent, full score; also with other forms of HTTP."""
    subscription = asyncio.run(run(fault))
    counters = subscription.counters
    assert counters.flawless, report(subscription)["wrong_answers"][:3]
    assert counters.state == "finished"
    assert counters.profile_answers.ok == 450 // 2
    assert counters.aggregate_answers.ok == 450 // 8
    assert counters.score == pytest.approx(20_000)


@pytest.mark.parametrize(
    "fault",
    [
        Fault.LOSES_TAGS,
        Fault.RANGE_END_INCLUSIVE,
        Fault.RANGE_START_EXCLUSIVE,
        Fault.LIMIT_KEEPS_OLDEST,
        Fault.OLDEST_FIRST,
        Fault.TIME_NORMALISED,
        Fault.PRODUCT_ID_AS_TEXT,
    ],
)
def test_wrong_profiles_are_found(fault: Fault) -> None:
    """Each fault gives wrong profiles, which are described, and costs score."""
    # Few cookies have enough tags for a limit to cut: that takes a longer stream.
    duration_s = 1.5 if fault is Fault.LIMIT_KEEPS_OLDEST else OPTIONS.duration_s
    options = replace(OPTIONS, duration_s=duration_s)
    counters = (subscription := asyncio.run(run(fault, options))).counters
    answers = counters.profile_answers
    assert answers.wrong + answers.empty > 0
    assert answers.ok > 0
    assert not counters.dropped
    assert not counters.flawless
    assert counters.score < 20_000
    assert subscription.ledger.wrong_answers[0]["difference"]


@pytest.mark.parametrize(
    "fault",
    [
        Fault.LOSES_TAGS,
        Fault.COUNTS_TWICE,
        Fault.MINUTE_SHIFTED,
        Fault.EMPTY_MINUTES_MISSING,
        Fault.FIXED_COLUMN_ORDER,
    ],
)
def test_wrong_aggregates_are_found(fault: Fault) -> None:
    """Each fault gives wrong aggregates."""
    counters = asyncio.run(run(fault)).counters
    assert counters.aggregate_answers.wrong > 0
    assert not counters.dropped


@pytest.mark.parametrize(
    "fault",
    [Fault.REFUSES, Fault.REFUSES_AND_STORES, Fault.SILENT, Fault.SILENT_AND_STORES],
)
def test_dropped_tags_are_not_held_against_the_server(fault: Fault) -> None:
    """A dropped tag, stored or not, makes no answer wrong, and is counted by kind."""
    silent = fault in (Fault.SILENT, Fault.SILENT_AND_STORES)
    options = replace(OPTIONS, request_timeout_s=0.25 if silent else 2.0)
    subscription = asyncio.run(run(fault, options))
    counters = subscription.counters
    tags = counters.tags
    assert tags.dropped >= 450 // 7
    assert (tags.read_timeout if silent else tags.status_5xx) == tags.dropped
    assert not counters.wrong, subscription.ledger.wrong_answers[0]
    assert not counters.flawless
    if fault is Fault.REFUSES:
        assert counters.profile_answers.ok_loose
        assert counters.aggregate_answers.ok_loose


def test_nobody_listens() -> None:
    """Refused connections are counted as such, and the run ends."""
    options = replace(OPTIONS, port=1, duration_s=0.15, drain=False)

    async def go() -> Subscription:
        subscription = Subscription(options)
        await subscription.start()
        await asyncio.wait_for(subscription.wait(), 10)
        await subscription.close()
        return subscription

    counters = asyncio.run(go()).counters
    assert counters.tags.sent == counters.tags.connect == counters.tags.dropped == 135


def test_pause_and_resume() -> None:
    """A pause sends nothing, and moves the schedule by its length."""

    async def go() -> None:
        async with ReferenceServer(ReferenceModel()) as port:
            subscription = Subscription(replace(OPTIONS, port=port))
            await subscription.start()
            await asyncio.sleep(0.2)
            subscription.pause()
            sent = subscription.counters.tags.sent
            await asyncio.sleep(1.0)
            assert subscription.counters.tags.sent == sent < 450
            assert subscription.counters.elapsed_s * OPTIONS.rate < sent + 90  # stands still too
            with pytest.raises(RuntimeError, match="paused"):
                subscription.pause()
            subscription.resume()
            await asyncio.wait_for(subscription.wait(), 10)
            await subscription.close()
            assert subscription.counters.flawless
            assert subscription.counters.elapsed_s > 0.5
            lag = subscription.ledger.generator_lag
            assert lag.max_s < 0.9

    asyncio.run(go())


def test_close_in_the_middle() -> None:
    """A closed subscription is neither finished nor flawless, and counts no drops."""

    async def go() -> None:
        async with ReferenceServer(ReferenceModel()) as port:
            subscription = Subscription(replace(OPTIONS, port=port))
            await subscription.start()
            await asyncio.sleep(0.2)
            await subscription.close()
            await subscription.wait()
            counters = subscription.counters
            assert counters.state == "closed"
            assert 0 < counters.tags.sent < 450
            assert not counters.dropped
            assert not counters.flawless

    asyncio.run(go())


def test_finish_in_the_middle() -> None:
    """The stream ends, remaining queries are sent, and each tag is reported once."""
    told: dict[int, object] = {}

    async def go() -> None:
        async with ReferenceServer(ReferenceModel()) as port:
            options = replace(OPTIONS, port=port, duration_s=30)
            subscription = Subscription(options, on_tag=told.__setitem__)
            with pytest.raises(RuntimeError, match="new"):
                subscription.finish()
            await subscription.start()
            await asyncio.sleep(0.6)
            subscription.finish()
            await asyncio.wait_for(subscription.wait(), 20)
            await subscription.close()
            counters = subscription.counters
            assert counters.state == "finished"
            assert counters.flawless
            assert counters.profile_answers.ok == counters.tags.sent // 2
            assert counters.aggregate_answers.ok == counters.tags.sent // 8
            assert told == dict.fromkeys(range(counters.tags.sent), 204)

    asyncio.run(go())
