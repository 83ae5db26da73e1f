"""The history of the page's charts: bounded, and no peak is lost."""

from hypothesis import given
from hypothesis import strategies as st

from tests.webpanel.ui.history import History

values = st.none() | st.floats(0, 1e6)


@given(st.lists(st.tuples(values, values), max_size=200))
def test_bounded_in_order_and_no_peak_is_lost(
    seconds: list[tuple[float | None, float | None]],
) -> None:
    history = History(most=8)
    for at, (latency, rate) in enumerate(seconds):
        history.add({"at_ms": at, "user_tags_p99_ms": latency, "answered": rate})
        history.thin()
    columns = history.document()["columns"]
    assert len(history.points) <= 8
    if not history.points:
        return
    times = columns["at_ms"]
    assert times == sorted(set(times))
    told = seconds[: int(times[-1]) + 1]
    latencies = [latency for latency, _ in told if latency is not None]
    assert max((x for x in columns["user_tags_p99_ms"] if x is not None), default=None) == max(
        latencies, default=None
    )
    if len(told) % history.seconds_a_point == 0 and None not in [rate for _, rate in told]:
        total = sum(columns["answered"]) * history.seconds_a_point
        assert abs(total - sum(rate or 0 for _, rate in told)) <= 1e-3 * len(told) * 2


def test_a_column_that_comes_later_has_no_figure_before() -> None:
    history = History()
    history.add({"at_ms": 0})
    history.add({"at_ms": 1000, "lag_0": 5.0})
    assert history.document()["columns"] == {"at_ms": [0, 1000], "lag_0": [None, 5.0]}
