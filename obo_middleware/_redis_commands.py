"""What an operation is to Redis or Valkey: one command each, and what its answer means.

Facts: SET with NX and PX, EVAL, PUBLISH (commands of Redis 6.2 and Valkey 7.2, and later); in a cluster all keys of a
command share a hash tag, which here is the group.

Rules of this file:

1. Pure functions, and scripts that touch the keys of one group only.
2. A script does what must not be torn apart: look and lead, check the owner and save, delete and tell.
3. Every key has an end, so that nothing stays for ever.
"""

from __future__ import annotations

import math
from typing import Any, assert_never

from credentials.kernel import Forget, Lead, Load, Name, Operation, Release, Remove, Save

Command = tuple[str | bytes | int, ...]

TOLD, FORGOTTEN = b"+", b"-"
"""How a message begins: about an entry that was made or given up, or about a user who was forgotten."""

_INDEXED = """
local function index(member, ms)
  redis.call('SADD', KEYS[3], member)
  if redis.call('PTTL', KEYS[3]) < tonumber(ms) then redis.call('PEXPIRE', KEYS[3], ms) end
end
"""
# KEYS: entry, lead, index. ARGV: owner, milliseconds, whether to lead although there is an entry, the index's member.
_LEAD = (
    _INDEXED
    + """
if ARGV[3] == '0' then
  local value = redis.call('GET', KEYS[1])
  if value then return value end
end
if redis.call('SET', KEYS[2], ARGV[1], 'NX', 'PX', ARGV[2]) then
  index(ARGV[4], ARGV[2])
  return 0
end
return math.max(1, redis.call('PTTL', KEYS[2]))
"""
)
# KEYS: entry, lead, index. ARGV: owner or nothing, milliseconds, value, the index's member, channel, message, the most
# members, and how the keys of the group's entries begin.
_SAVE = (
    _INDEXED
    + """
if ARGV[1] ~= '' and redis.call('GET', KEYS[2]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[3], 'PX', ARGV[2])
if ARGV[1] ~= '' then redis.call('DEL', KEYS[2]) end
index(ARGV[4], ARGV[2])
if redis.call('SCARD', KEYS[3]) > tonumber(ARGV[7]) then
  for _, member in ipairs(redis.call('SMEMBERS', KEYS[3])) do
    if redis.call('EXISTS', ARGV[8] .. member) == 0 then redis.call('SREM', KEYS[3], member) end
  end
end
redis.call('PUBLISH', ARGV[5], ARGV[6])
return 1
"""
)
# KEYS: lead. ARGV: owner, channel, message.
_RELEASE = """
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end
redis.call('PUBLISH', ARGV[2], ARGV[3])
return 1
"""
# KEYS: index. ARGV: how the keys of entries begin, and how those of leads do.
_FORGET = """
local members = redis.call('SMEMBERS', KEYS[1])
for _, member in ipairs(members) do redis.call('DEL', ARGV[1] .. member, ARGV[2] .. member) end
redis.call('DEL', KEYS[1])
return #members
"""
_MOST_MEMBERS = 64
LOGGED = 28 * 3_600
"""Seconds for which the store knows who was forgotten: no token lives longer."""


class Keys:
    """Know the keys under one prefix."""

    def __init__(self, prefix: str) -> None:
        self.channel = f"{prefix}:news"
        self.log = f"{prefix}:forgotten"
        self.canary = f"{prefix}:canary"
        # Entries, and leads that would become some. The names of sessions begin with a tilde: they are no tokens.
        self.every_token = f"{prefix}:{{*}}:[el]:[^~]*"
        self._prefix = prefix

    def entry(self, name: Name) -> str:
        return f"{self._of(name.group)}:e:{name.entry}"

    def lead(self, name: Name) -> str:
        return f"{self._of(name.group)}:l:{name.entry}"

    def index(self, group: str) -> str:
        return f"{self._of(group)}:i"

    def entries_of(self, group: str) -> str:
        return f"{self._of(group)}:e:"

    def leads_of(self, group: str) -> str:
        return f"{self._of(group)}:l:"

    def _of(self, group: str) -> str:
        return f"{self._prefix}:{{{group}}}"


def commands_of(operation: Operation, keys: Keys) -> tuple[Command, ...]:
    """Return the commands that do what is asked, in their order; the first one's reply is the answer."""
    match operation:
        case Load(name):
            return (("GET", keys.entry(name)),)
        case Lead(name, owner, seconds, anew):
            return (("EVAL", _LEAD, 3, *_three(name, keys), owner, _milliseconds(seconds), int(anew), name.entry),)
        case Save(name, value, seconds, owner):
            told = (keys.channel, TOLD + name.entry.encode())
            most = (_MOST_MEMBERS, keys.entries_of(name.group))
            arguments = (owner, _milliseconds(seconds), value, name.entry, *told, *most)
            return (("EVAL", _SAVE, 3, *_three(name, keys), *arguments),)
        case Release(name, owner):
            return (("EVAL", _RELEASE, 1, keys.lead(name), owner, keys.channel, TOLD + name.entry.encode()),)
        case Remove(name):
            # The lead too: who is making the entry anew must not bring it back.
            return (("DEL", keys.entry(name), keys.lead(name)),)
        case Forget(groups, news, at):
            return (*(_forgetting(group, keys) for group in groups), *_telling(news, at, keys))
        case _ as never:
            assert_never(never)


def _forgetting(group: str, keys: Keys) -> Command:
    return ("EVAL", _FORGET, 1, keys.index(group), keys.entries_of(group), keys.leads_of(group))


def _telling(news: bytes, at: float, keys: Keys) -> tuple[Command, ...]:
    """Return the commands that tell all processes, and those too that cannot hear it now."""
    return (
        ("ZADD", keys.log, f"{at:.3f}", news),
        ("ZREMRANGEBYSCORE", keys.log, "-inf", f"{at - LOGGED:.3f}"),
        ("EXPIRE", keys.log, LOGGED),
        ("PUBLISH", keys.channel, FORGOTTEN + news),
    )


def answer_of(operation: Operation, reply: Any) -> Any:
    """Return what the reply to an operation's command means; raises ``ValueError`` for what is none."""
    match operation:
        case Lead():
            if not isinstance(reply, (bytes, int)):
                raise ValueError("the reply is no answer")
            return reply if isinstance(reply, bytes) else max(0, reply) / 1_000
        case Save() | Release() | Remove():
            return bool(reply)
        case _:
            return reply


def _three(name: Name, keys: Keys) -> tuple[str, str, str]:
    return keys.entry(name), keys.lead(name), keys.index(name.group)


def _milliseconds(seconds: float) -> int:
    return max(1, math.floor(seconds * 1_000))
