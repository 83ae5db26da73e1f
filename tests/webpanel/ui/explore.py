"""The explorer: proxies queries to the platform, so that the page needs a single origin.

The platform's errors are passed through in `body`, with their `status`.
"""

from typing import Annotated, Any, Literal
from urllib.parse import quote, urlencode

from fastapi import APIRouter, Query

from tests.webpanel import catalogue as shop
from tests.webpanel.ui.models import Exchange
from tests.webpanel.ui.monitor import Monitor
from tests.webpanel.ui.problems import responses

_BUSY_COOKIES = 12
_SPREAD = 611_953  # maps the rank of a cookie to its number, as in `stream`


def choices() -> dict[str, Any]:
    """The names that the stream uses, and its most active cookies."""
    return {
        "origins": sorted(shop.ORIGINS),
        "brands": sorted(shop.BRANDS),
        "categories": sorted(shop.CATEGORIES),
        "cookies": [
            shop.cookie_name(rank * _SPREAD % shop.COOKIES) for rank in range(_BUSY_COOKIES)
        ],
    }


def router(monitor: Monitor) -> APIRouter:
    """The routes below `/explore`."""
    routes = APIRouter(prefix="/explore", tags=["explore"])
    host_type = Annotated[str | None, Query(description="Default: the panel's target.")]
    port_type = Annotated[int | None, Query(ge=1, le=65535)]

    @routes.get("/choices")
    def get_choices() -> dict[str, Any]:
        """Origins, brands, categories, and the stream's most active cookies."""
        return choices()

    @routes.get("/profile", responses=responses(502))
    async def profile(
        cookie: Annotated[str, Query(min_length=1)],
        time_range: str,
        limit: str = "200",
        host: host_type = None,
        port: port_type = None,
    ) -> Exchange:
        """Use case 2: one cookie's latest tags."""
        query = urlencode({"time_range": time_range, "limit": limit}, safe=":")
        target = f"/user_profiles/{quote(cookie, safe='')}?{query}"
        return await monitor.platform.ask(host or monitor.host, port or monitor.port, target)

    @routes.get("/aggregates", responses=responses(502))
    async def aggregates(
        time_range: str,
        action: str,
        aggregates: Annotated[list[Literal["COUNT", "SUM_PRICE"]], Query()],
        origin: str | None = None,
        brand_id: str | None = None,
        category_id: str | None = None,
        host: host_type = None,
        port: port_type = None,
    ) -> Exchange:
        """Use case 3: counts and sums a minute."""
        filters = {"origin": origin, "brand_id": brand_id, "category_id": category_id}
        pairs = [("time_range", time_range), ("action", action)]
        pairs += [(name, value) for name, value in filters.items() if value]
        pairs += [("aggregates", one) for one in aggregates]
        target = f"/aggregates?{urlencode(pairs, safe=':')}"
        return await monitor.platform.ask(host or monitor.host, port or monitor.port, target)

    return routes
