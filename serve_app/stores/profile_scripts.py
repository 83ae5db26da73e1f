"""The Lua scripts that change profiles and positions, each atomic in one Redis node.

A script reaches into many slots of its node (flag ``allow-cross-slot-keys``, Redis 7.0). What it
does is one unit also in replication and in the append-only file, so a position and the tags that
it speaks of are never apart. A key of a slot that has left the node, or is just leaving, raises
``non local key``: nothing more of that slot is believed.

Sources: https://redis.io/docs/latest/develop/programmability/eval-intro/ and lua-api/.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from serve_app.core.member import encode_member
from serve_app.core.names import escape_cookie
from serve_app.core.query import KEPT_PER_ACTION
from serve_app.core.tag import UserTag
from serve_app.stores.redis_node import Command

DAY_MS: Final = 86_400_000

_HEAD: Final = "#!lua flags={}allow-cross-slot-keys\n"

_APPLY: Final = """
local function covered(mark, place, topic)
  -- A mark is partition:offset,…,@topic. Without a topic an older version wrote it, and it counts
  -- for every topic; one of before version 0.2 is an arrival time in epoch ms.
  local of = string.match(mark, ',@(%w+)$')
  if topic and of and of ~= topic then return false end
  local partition, offset, arrived = string.match(place, '^(%d+):(%d+):(-?%d+)$')
  if not string.find(mark, ':', 1, true) then
    return tonumber(arrived) <= tonumber(mark)
  end
  local before = string.match(',' .. mark, ',' .. partition .. ':(%d+)')
  return before and tonumber(offset) < tonumber(before)
end

local function keep_alive(base, key, idle_ms, refresh_ms)
  -- Both actions of a cookie live as long as one of them is written.
  local left = redis.call('PTTL', key)
  if idle_ms == 0 then
    if left >= 0 then
      redis.call('PERSIST', base .. 'VIEW')
      redis.call('PERSIST', base .. 'BUY')
    end
  elseif left < idle_ms - refresh_ms or left > idle_ms then
    redis.call('PEXPIRE', base .. 'VIEW', idle_ms)
    redis.call('PEXPIRE', base .. 'BUY', idle_ms)
  end
end

local function apply(topic, kept, idle_ms, refresh_ms, cookie, action, time_ms, member, place)
  local base = 'p:{' .. cookie .. '}:'
  local mark = redis.call('GET', base .. 'erased')
  if mark and covered(mark, place, topic) then return end
  local key = base .. action
  if redis.call('ZADD', key, time_ms, member) == 1 then
    redis.call('ZREMRANGEBYRANK', key, 0, -kept - 1)
  end
  keep_alive(base, key, idle_ms, refresh_ms)
end

"""


@dataclass(frozen=True, slots=True)
class Script:
    """One script."""

    text: str
    sha1: str
    """What EVALSHA names it by."""


def _script(body: str, *, flags: str = "") -> Script:
    text = _HEAD.format(flags) + body
    return Script(text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())


# KEYS: any key of the node. ARGV: kept, idle_ms, refresh_ms, then five a tag.
QUICK_WRITE: Final = _script(
    _APPLY
    + """
local kept, idle_ms, refresh_ms = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
for i = 4, #ARGV, 5 do
  -- Nothing depends on this write: what fails here is written by the feed. So is a tag that is
  -- left out for a mark of another topic: which topic has the tag is not known here.
  pcall(apply, nil, kept, idle_ms, refresh_ms,
        ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3], ARGV[i + 4])
end
return 0
"""
)

# KEYS: the first home. ARGV: other slots' keys. Returns what each holds, as HGETALL does; nil for
# those that are leaving.
POSITIONS: Final = _script(
    """
local found = {redis.call('HGETALL', KEYS[1])}
for i, key in ipairs(ARGV) do
  local fields = redis.pcall('HGETALL', key)
  found[i + 1] = not fields.err and fields
end
return found
""",
    # Answers when memory is full.
    flags="no-writes,",
)

# KEYS: the first home. ARGV: second home or '', two fields, what the homes shall hold in them, then
# key and what it must hold in them for the homes and other slots; '' for absent. The others hold
# neither afterwards. Returns 1 if done, 0 if one was another.
GATHER: Final = _script(
    """
for i = 6, #ARGV, 3 do
  if (redis.call('HGET', ARGV[i], ARGV[2]) or '') ~= ARGV[i + 1] then return 0 end
  if (redis.call('HGET', ARGV[i], ARGV[3]) or '') ~= ARGV[i + 2] then return 0 end
end
for i = 6, #ARGV, 3 do
  local home = ARGV[i] == KEYS[1] or ARGV[i] == ARGV[1]
  for field = 2, 3 do
    if home and ARGV[field + 2] ~= '' then
      redis.call('HSET', ARGV[i], ARGV[field], ARGV[field + 2])
    else
      redis.call('HDEL', ARGV[i], ARGV[field])
    end
  end
end
return 1
"""
)

# KEYS: the first home. ARGV: two fields, then keys of slots that are no homes: they hold neither
# afterwards. Slots that are leaving are left out. Returns how many fields there were.
CLEAR: Final = _script(
    """
local cleared = 0
for i = 3, #ARGV do
  local number = redis.pcall('HDEL', ARGV[i], ARGV[1], ARGV[2])
  if type(number) == 'number' then cleared = cleared + number end
end
return cleared
"""
)

# KEYS: the first home. ARGV: second home or '', field, old position or '', new position, kept,
# idle_ms, refresh_ms, then five a tag of the topic that the new position names.
# Returns {0}, {1, stored position or ''} if it was not the old one, or {2, index of a tag, …}:
# tags whose slot is elsewhere; all others are applied, and the position stays.
MOVE: Final = _script(
    _APPLY
    + """
local stored = redis.call('HGET', KEYS[1], ARGV[2]) or ''
if stored ~= ARGV[3] then return {1, stored} end
local topic = string.match(ARGV[4], '^%w+')
local kept, idle_ms, refresh_ms = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
local elsewhere = {2}
for i = 8, #ARGV, 5 do
  local done, problem = pcall(apply, topic, kept, idle_ms, refresh_ms,
    ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3], ARGV[i + 4])
  if not done then
    if type(problem) == 'table' then problem = problem.err end
    if not string.find(problem, 'non local key', 1, true) then
      return redis.error_reply(problem)
    end
    elsewhere[#elsewhere + 1] = (i - 8) / 5
  end
end
if #elsewhere > 1 then return elsewhere end
if ARGV[3] ~= ARGV[4] then
  if ARGV[1] ~= '' then redis.call('HSET', ARGV[1], ARGV[2], ARGV[4]) end
  redis.call('HSET', KEYS[1], ARGV[2], ARGV[4])
end
return {0}
"""
)

# KEYS: the first home. ARGV: second home or '', field of the main position, it as it was, as it
# will be, field of the arrivals, theirs as it was.
# Returns 1 if done, 0 if either was another.
MERGE: Final = _script(
    """
if redis.call('HGET', KEYS[1], ARGV[2]) ~= ARGV[3] then return 0 end
if redis.call('HGET', KEYS[1], ARGV[5]) ~= ARGV[6] then return 0 end
for _, home in ipairs({ARGV[1], KEYS[1]}) do
  if home ~= '' then
    redis.call('HSET', home, ARGV[2], ARGV[4])
    redis.call('HDEL', home, ARGV[5])
  end
end
return 1
"""
)

# KEYS: the first home. ARGV: field, escaped cookie, the erasure's mark with its topic, ms to keep
# the mark or 0 for ever, then keys that may hold positions; of slots that are leaving, they may be
# gone.
# Returns 1 if there was something to erase, 0 if this or a later erasure was done already. A mark
# of another topic, or of an unknown one, says nothing of that, and is replaced.
# All positions in the topic go back to the erasure: tags of the cookie's new life may have been
# deleted with the old ones, and are applied again.
# Returns -1 if the field has no position in that topic: a feed that comes late would delete tags of
# another one, and move none of its positions back.
ERASE: Final = _script(
    """
local of = string.match(ARGV[3], ',@(%w+)$')
if string.match(redis.call('HGET', KEYS[1], ARGV[1]) or '', '^%w+') ~= of then return -1 end
local base = 'p:{' .. ARGV[2] .. '}:'
local old = redis.call('GET', base .. 'erased') or ''
if string.match(old, ',@(%w+)$') ~= of then old = '' end
local news, merged, before = false, {}, {}
for partition, offset in string.gmatch(ARGV[3], '(%d+):(%d+)') do
  local known = string.match(',' .. old, ',' .. partition .. ':(%d+)')
  if not known or tonumber(known) < tonumber(offset) then
    news = true
  else
    offset = known
  end
  before[partition] = tonumber(offset)
  merged[#merged + 1] = partition .. ':' .. offset
end
if not news then return 0 end
merged[#merged + 1] = '@' .. of
redis.call('DEL', base .. 'VIEW', base .. 'BUY')
if ARGV[4] == '0' then
  redis.call('SET', base .. 'erased', table.concat(merged, ','))
else
  redis.call('SET', base .. 'erased', table.concat(merged, ','), 'PX', ARGV[4])
end
for k = 5, #ARGV do
  local home = ARGV[k]
  local positions = redis.pcall('HGETALL', home)
  for i = 1, #positions, 2 do
    local field, position = positions[i], positions[i + 1]
    local topic, offset, rest = string.match(position, '^(%w+):(%d+):(.*)$')
    local limit = before[string.match(field, '^%d+')]
    if topic == of and limit and tonumber(offset) > limit then
      -- '%.0f' and not '%d': an offset may be larger than 32 bits.
      redis.call('HSET', home, field, topic .. ':' .. string.format('%.0f', limit) .. ':' .. rest)
    end
  end
end
return 1
"""
)

# KEYS: the first home. ARGV: keys that may hold positions, as above. Forgets that anything
# was lost.
ACCEPT_LOSS: Final = _script(
    """
local changed = 0
for _, home in ipairs(ARGV) do
  local positions = redis.pcall('HGETALL', home)
  for i = 1, #positions, 2 do
    local topic, offset, rest = string.match(positions[i + 1], '^(%w+):(%d+):[1-9]%d*:(.*)$')
    if topic then
      changed = changed + 1
      redis.call('HSET', home, positions[i], topic .. ':' .. offset .. ':0:' .. rest)
    end
  end
end
return changed
"""
)

# KEYS: the first home. ARGV: the same. Forgets the positions, as one: the feeds claim new ones and
# apply the log from its begin. Returns how many there were.
FORGET: Final = _script(
    """
local known = redis.call('HLEN', KEYS[1])
for _, home in ipairs(ARGV) do redis.pcall('DEL', home) end
return known
"""
)

SCRIPTS: Final = (
    QUICK_WRITE,
    POSITIONS,
    GATHER,
    CLEAR,
    MOVE,
    MERGE,
    ERASE,
    ACCEPT_LOSS,
    FORGET,
)


def run(script: Script, key: str, arguments: Sequence[str | bytes | int]) -> Command:
    """The command that runs ``script``; each connection to a master has loaded it."""
    return ("EVALSHA", script.sha1, 1, key, *arguments)


def tag_arguments(
    tag: UserTag, time_ms: int, partition: int, offset: int, arrived_ms: int
) -> tuple[str | bytes | int, ...]:
    """What the scripts need of one tag, which stands at ``offset`` of the log."""
    return (
        escape_cookie(tag.cookie),
        tag.action,
        time_ms,
        encode_member(tag, time_ms),
        f"{partition}:{offset}:{arrived_ms}",
    )


def rules(idle_days: float) -> tuple[int, int, int]:
    """Tags kept, ms until an idle profile goes (0: never), ms between two renewals of that."""
    idle_ms = int(idle_days * DAY_MS)
    return KEPT_PER_ACTION, idle_ms, min(DAY_MS, idle_ms // 10)
