"""Keys of profiles: both actions of any cookie in one slot, no two cookies on one key."""

from binascii import crc_hqx

from hypothesis import example, given

from serve_app.core.names import profile_key
from tests.unit.core.strategies import actions, cookies


def slot(key: str) -> int:
    """Redis Cluster's rule, from its specification: CRC16 of the hash tag, modulo 16,384."""
    raw = key.encode()
    start = raw.find(b"{")
    if start >= 0:
        end = raw.find(b"}", start + 1)
        if end > start + 1:
            raw = raw[start + 1 : end]
    return crc_hqx(raw, 0) % 16_384


@given(cookies)
@example("9WkYGxkiXBfpMIjBGURC")
@example("}")
@example("{")
@example("{}")
@example("}{")
@example("%7D")
@example("{a}b")
@example("żółć")
def test_both_actions_of_any_cookie_share_a_slot(cookie: str) -> None:
    assert profile_key(cookie, "VIEW") != profile_key(cookie, "BUY")
    assert slot(profile_key(cookie, "VIEW")) == slot(profile_key(cookie, "BUY"))


@given(cookies, actions, cookies, actions)
@example("}", "VIEW", "%7D", "VIEW")
@example("%257D", "VIEW", "%7D", "VIEW")
@example("a}:VIEW", "BUY", "a", "VIEW")
@example("%", "VIEW", "%25", "VIEW")
def test_no_two_profiles_share_a_key(first: str, action: str, second: str, other: str) -> None:
    same = (first, action) == (second, other)
    assert (profile_key(first, action) == profile_key(second, other)) == same


def test_cookies_spread_over_the_slots() -> None:
    slots = {slot(profile_key(f"cookie{number}", "VIEW")) for number in range(200)}
    assert len(slots) > 150
