"""What a test on pods says of requests that were dropped while it waited in vain."""

from tests.faults.running_load import Sample
from tests.kuberay.pods.quiet import drops_over_time, last_drop_s, quiet_for


def samples(dropped: list[int]) -> list[Sample]:
    """One a second from 100 s on; a tenth of the tags with 5xx, all the others timed out."""
    return [
        Sample(
            at_s=100.0 + at,
            state="running",
            sent=50 * at,
            dropped=lost,
            wrong=0,
            tags_5xx=lost // 10,
            timed_out=lost - lost // 10,
            profiles_asked=5 * at,
            profiles_unanswered=lost // 5,
        )
        for at, lost in enumerate(dropped)
    ]


def test_a_line_every_five_seconds_says_what_was_dropped_then() -> None:
    lines = drops_over_time(samples([0, 0, 0, 0, 0, 0, 0, 0, 10, 20, 20, 20, 20]), since_s=100.0)

    assert lines == [
        "    0 to   5 s: 250 tags sent; dropped 0, of these 0 timed out; tags with 5xx 0; "
        "of 25 profile queries 0 unanswered",
        "    5 to  10 s: 250 tags sent; dropped 20, of these 18 timed out; tags with 5xx 2; "
        "of 25 profile queries 4 unanswered",
        "   10 to  12 s: 100 tags sent; dropped 0, of these 0 timed out; tags with 5xx 0; "
        "of 10 profile queries 0 unanswered",
    ]


def test_quiet_is_counted_back_from_the_last_sample() -> None:
    told = samples([0, 5, 5, 5])

    assert quiet_for(told, 2)
    assert not quiet_for(told, 3)


def test_the_last_drop_is_the_moment_when_the_number_last_grew() -> None:
    told = samples([3, 3, 5, 5, 6, 6])

    assert last_drop_s(told, since_s=101.0) == 3
    assert last_drop_s(told, since_s=105.0) == 0
