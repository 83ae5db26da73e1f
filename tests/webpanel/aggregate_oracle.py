"""Counts and sums that the server must know: some filters, the last 24 hours of event time."""

from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from tests.webpanel import catalogue as shop
from tests.webpanel.eventtime import MINUTE_MS
from tests.webpanel.stream import action_of, origin_of, product_of

KEPT_MINUTES = 1441
_EACH = 24  # filters of each shape: half popular, half of real products


@dataclass(slots=True, frozen=True)
class Filter:
    """The optional parameters of an aggregate query, as numbers in the catalogue."""

    origin: int | None = None
    brand: int | None = None
    category: int | None = None


def choose_filters(seed: int) -> list[Filter]:
    """Distinct filters: the empty one, and `_EACH` of every combination of parameters."""
    rng = Random(f"web panel filters {seed}")
    chosen: dict[Filter, None] = {Filter(): None}
    # Two filters whose values are the same text when joined with `_`.
    brand, category = shop.BRANDS.index, shop.CATEGORIES.index
    chosen[Filter(brand=brand("Novia"), category=category("Shoes_Men"))] = None
    chosen[Filter(brand=brand("Novia_Shoes"), category=category("Men"))] = None
    for shape in range(1, 8):
        wanted = len(chosen) + _EACH
        while len(chosen) < wanted:
            popular = rng.random() < 0.5
            item = rng.randrange(shop.PRODUCTS)
            chosen[
                Filter(
                    (rng.randrange(30) if popular else rng.randrange(1000)) if shape & 1 else None,
                    (rng.randrange(15) if popular else shop.PRODUCT_BRAND[item])
                    if shape & 2
                    else None,
                    (rng.randrange(8) if popular else shop.PRODUCT_CATEGORY[item])
                    if shape & 4
                    else None,
                )
            ] = None
    return list(chosen)


@dataclass(slots=True, frozen=True)
class Bounds:
    """Range of a row: the certain tags alone, and how much dropped tags may add."""

    count: int
    total: int
    loose_count: int
    loose_total: int


class AggregateOracle:
    """Counts and price sums per minute, filter and action.

    A tag is counted when it is sent. Dropped tags are also counted in a second table, kept only
    for minutes that have any; the certain figure is the difference of the two.
    """

    def __init__(self, seed: int) -> None:
        self.filters = choose_filters(seed)
        self._size = len(self.filters) * 4  # (filter, action) -> count, sum
        self._sent: dict[int, array[int]] = {}
        self._loose: dict[int, array[int]] = {}
        self._minute = -1
        self._current = array("q")
        by_product: list[list[int]] = [[] for _ in range(shop.PRODUCTS)]
        by_origin: dict[int, list[int]] = {}
        crossed: dict[int, list[tuple[int, int | None, int | None]]] = {}
        for number, chosen in enumerate(self.filters):
            slot, brand, category = number * 4, chosen.brand, chosen.category
            if chosen.origin is None:
                for item, slots in enumerate(by_product):
                    if brand in (None, shop.PRODUCT_BRAND[item]) and category in (
                        None,
                        shop.PRODUCT_CATEGORY[item],
                    ):
                        slots.append(slot)
            elif brand is None and category is None:
                by_origin.setdefault(chosen.origin, []).append(slot)
            else:
                crossed.setdefault(chosen.origin, []).append((slot, brand, category))
        self._by_product = [tuple(slots) for slots in by_product]
        self._by_origin = by_origin
        self._crossed = crossed

    def _matching(self, code: int) -> Iterator[int]:
        """Slots of the filters that match the tag."""
        item, origin = product_of(code), origin_of(code)
        yield from self._by_product[item]
        yield from self._by_origin.get(origin, ())
        for slot, brand, category in self._crossed.get(origin, ()):
            if brand in (None, shop.PRODUCT_BRAND[item]) and category in (
                None,
                shop.PRODUCT_CATEGORY[item],
            ):
                yield slot

    def record(self, ms: int, code: int) -> None:
        """Count a tag that is about to be sent; it must be newer than all before."""
        minute = ms // MINUTE_MS
        if minute != self._minute:
            self._minute = minute
            self._current = self._sent[minute] = array("q", bytes(8 * self._size))
            self._forget()
        self._add(self._current, code)

    def drop(self, ms: int, code: int) -> None:
        """Mark a sent tag as dropped: it was not acknowledged in time."""
        minute = ms // MINUTE_MS
        if minute in self._sent:
            if minute not in self._loose:
                self._loose[minute] = array("q", bytes(8 * self._size))
            self._add(self._loose[minute], code)

    def _add(self, table: "array[int]", code: int) -> None:
        price, action = shop.PRODUCT_PRICE[product_of(code)], action_of(code) * 2
        for slot in self._matching(code):
            table[slot + action] += 1
            table[slot + action + 1] += price

    def _forget(self) -> None:
        while len(self._sent) > KEPT_MINUTES:
            oldest = next(iter(self._sent))
            del self._sent[oldest]
            self._loose.pop(oldest, None)

    def bounds(self, minute: int, number: int, action: int) -> Bounds:
        """Bounds of the row of a minute for filter `number`; all 0 without tags."""
        slot = number * 4 + action * 2
        sent, loose = self._sent.get(minute), self._loose.get(minute)
        count, total = (sent[slot], sent[slot + 1]) if sent else (0, 0)
        loose_count, loose_total = (loose[slot], loose[slot + 1]) if loose else (0, 0)
        return Bounds(count - loose_count, total - loose_total, loose_count, loose_total)
