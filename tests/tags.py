"""User tags as tests send them: plain dicts in the wire's own words."""

import json
from typing import Any, Final

from tests.oracle import Tag

MISSING: Final = object()
"""In the place of a value: leave the field out."""


def new_tag(cookie: str, time: str, /, **changes: Any) -> Tag:
    """``changes`` may name any field, those of ``product_info`` as well."""
    product = {"product_id": 12486, "brand_id": "Ebros_Gift", "category_id": "Shoes", "price": 289}
    tag = {
        "time": time,
        "cookie": cookie,
        "country": "CL",
        "device": "MOBILE",
        "action": "VIEW",
        "origin": "CAMPAIGN_321",
    }
    product |= {name: value for name, value in changes.items() if name in product}
    tag |= {name: value for name, value in changes.items() if name not in product}
    return {**tag, "product_info": product}


def changed(tag: Tag, path: str, value: object) -> bytes:
    """The body of ``tag`` with one value replaced, or left out for `MISSING`."""
    copy: dict[str, Any] = json.loads(json.dumps(tag))
    *parents, name = path.split(".")
    place = copy
    for parent in parents:
        place = place[parent]
    if value is MISSING:
        del place[name]
    else:
        place[name] = value
    return json.dumps(copy).encode()
