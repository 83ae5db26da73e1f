"""A tag as a member of a Redis sorted set: a MessagePack array of the fields.

The cookie and the action stand in the key, so the array is ``[time_ms, device + 4 * zeros,
country, origin, product_id, brand_id, category_id, price]``. ``zeros`` says that the
time of a whole second was written with its fraction (``.000``), which milliseconds cannot tell. A
member takes about 75 bytes, and the same tag always gives the same bytes: written twice, it is
there once.
"""

import msgspec

from serve_app.core.tag import DEVICES, ProductInfo, UserTag
from serve_app.core.timestamps import format_tag_time

_DEVICE_NUMBER = {device: number for number, device in enumerate(DEVICES)}
_ZEROS = 4
_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(tuple[int, int, str, str, int | str, str, str, int])


def encode_member(tag: UserTag, time_ms: int) -> bytes:
    """The member for ``tag``, whose score is ``time_ms`` (its own event time)."""
    product = tag.product_info
    device = _DEVICE_NUMBER[tag.device]
    if len(tag.time) > 20 and time_ms % 1000 == 0:
        device += _ZEROS
    return _encoder.encode(
        (
            time_ms,
            device,
            tag.country,
            tag.origin,
            product.product_id,
            product.brand_id,
            product.category_id,
            product.price,
        )
    )


def decode_member(member: bytes, cookie: str, action: str) -> UserTag:
    """The tag that `encode_member` was given, equal in every field.

    Raises:
        msgspec.MsgspecError: the bytes are not of this format.
    """
    time_ms, device, country, origin, product_id, brand_id, category_id, price = _decoder.decode(
        member
    )
    return UserTag(
        time=format_tag_time(time_ms, fraction=time_ms % 1000 != 0 or device >= _ZEROS),
        cookie=cookie,
        country=country,
        device=DEVICES[device % _ZEROS],
        action=action,
        origin=origin,
        product_info=ProductInfo(product_id, brand_id, category_id, price),
    )
