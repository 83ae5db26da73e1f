"""The independent oracle: what docs/contract.md says the answers are, in plain Python.

Shares no code with the product. Takes tags as sent (dicts) and the parameters of a query as in its
URL, and returns the expected answer as parsed JSON.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

Tag = dict[str, Any]
KEPT = 200
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
FILTERS = ("origin", "brand_id", "category_id")


def moment(text: str) -> datetime:
    """``YYYY-MM-DDTHH:MM:SS[.mmm][Z]`` as a time of UTC."""
    return datetime.fromisoformat(text.removesuffix("Z")).replace(tzinfo=UTC)


def milliseconds(text: str) -> int:
    """The same as epoch milliseconds."""
    return (moment(text) - EPOCH) // timedelta(milliseconds=1)


class Oracle:
    """Knows every accepted tag and answers both queries."""

    def __init__(self, tags: Iterable[Tag] = ()) -> None:
        self.tags: list[Tag] = list(tags)

    def accept(self, *tags: Tag) -> None:
        """Add acknowledged tags."""
        self.tags.extend(tags)

    def profile(self, cookie: str, time_range: str, limit: int = KEPT) -> dict[str, Any]:
        """Use case 2. Equal times may come in any order: compare with `same_profile`.

        Of a cookie and action with more than 200 tags only the newest 200 are promised.
        """
        start, _, end = time_range.partition("_")

        def newest(action: str) -> list[Tag]:
            mine = [tag for tag in self.tags if (tag["cookie"], tag["action"]) == (cookie, action)]
            mine.sort(key=lambda tag: milliseconds(tag["time"]), reverse=True)
            there = [
                tag for tag in mine[:KEPT] if moment(start) <= moment(tag["time"]) < moment(end)
            ]
            return there[:limit]

        return {"cookie": cookie, "views": newest("VIEW"), "buys": newest("BUY")}

    def aggregates(
        self,
        time_range: str,
        action: str,
        aggregates: Sequence[str],
        *,
        origin: str | None = None,
        brand_id: str | None = None,
        category_id: str | None = None,
    ) -> dict[str, Any]:
        """Use case 3."""
        wanted = dict(zip(FILTERS, (origin, brand_id, category_id), strict=True))
        given = {name: value for name, value in wanted.items() if value is not None}

        def counts(tag: Tag) -> bool:
            values = {"origin": tag["origin"], **tag["product_info"]}
            return tag["action"] == action and all(
                values[name] == value for name, value in given.items()
            )

        start, end = map(moment, time_range.split("_"))
        rows = []
        while start < end:
            after = start + timedelta(minutes=1)
            prices = [
                tag["product_info"]["price"]
                for tag in self.tags
                if start <= moment(tag["time"]) < after and counts(tag)
            ]
            sums = {"COUNT": len(prices), "SUM_PRICE": sum(prices)}
            bucket = start.strftime("%Y-%m-%dT%H:%M:%S")
            rows.append(
                [bucket, action, *given.values(), *(str(sums[name]) for name in aggregates)]
            )
            start = after
        columns = ["1m_bucket", "action", *given, *(name.lower() for name in aggregates)]
        return {"columns": columns, "rows": rows}


def canonical(answer: dict[str, Any]) -> dict[str, Any]:
    """A profile answer with tags of equal time in a canonical order."""

    def by_time(tags: list[Tag]) -> list[tuple[int, list[str]]]:
        """Groups of tags with equal time, in their order."""
        runs: list[tuple[int, list[str]]] = []
        for tag in tags:
            time_ms = milliseconds(tag["time"])
            if not runs or runs[-1][0] != time_ms:
                runs.append((time_ms, []))
            runs[-1][1].append(repr(sorted(_flat(tag).items())))
        return [(time_ms, sorted(run)) for time_ms, run in runs]

    return {
        "cookie": answer["cookie"],
        "views": by_time(answer["views"]),
        "buys": by_time(answer["buys"]),
        "names": sorted(answer),
    }


def same_profile(first: dict[str, Any], second: dict[str, Any]) -> bool:
    """Whether two profile answers are equal, except for the order of tags of equal time."""
    return canonical(first) == canonical(second)


def _flat(tag: Tag) -> dict[str, Any]:
    return {name: sorted(v.items()) if isinstance(v, dict) else v for name, v in tag.items()}
