"""A ledger in Redis (7 or newer) or Valkey: exact across all machines that share the server. Needs `pip install authy_wsgi[redis]`."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, ConnectionError, RedisError  # noqa: A004 - the library's own name for it
from redis.retry import Retry

from authy_wsgi.contracts import Allowance, Budget
from authy_wsgi.errors import Misconfigured, Unavailable
from authy_wsgi.tickets import new_id

_SLACK = 3600  # the server's own expiry only sweeps: it comes this much later than the end that `now` is compared with
_END = 8  # bytes before a value: when it ends

log = logging.getLogger("authy_wsgi.ledger")

# Each script may be sent twice and does its work once: what it writes is named by its caller (the receipt, the value).

# KEYS: the receipt's, then each budget's. ARGV: receipt, now, slack, then (limit, window) of each.
# Tries are a sorted set, receipt by time. Answers {1, left...} or, for the full one that has room last, {0, which, when}.
_SPEND = """
local receipt, now, slack = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local again = redis.call('EXISTS', KEYS[1]) == 1
local answer, longest, full = {1}, 1, nil
for i = 2, #KEYS do
  local limit, window = tonumber(ARGV[2 * i]), tonumber(ARGV[2 * i + 1])
  local after = '(' .. (now - window)
  local count = redis.call('ZCOUNT', KEYS[i], after, '+inf')
  if again then count = count - 1 end
  if count >= limit and not again then
    local oldest = redis.call('ZRANGEBYSCORE', KEYS[i], after, '+inf', 'WITHSCORES', 'LIMIT', count - limit, 1)
    local at = tonumber(oldest[2]) + window
    if not full or at > full[3] then full = {0, i - 1, at} end
  end
  answer[i] = limit - count - 1
  longest = math.max(longest, window)
end
if again then return answer end
if full then return full end
-- A server that is full refuses a script at its first command that needs memory, not at a later one: so that one comes first.
for i = 2, #KEYS do
  local window = tonumber(ARGV[2 * i + 1])
  redis.call('ZADD', KEYS[i], now, receipt)
  redis.call('ZREMRANGEBYSCORE', KEYS[i], '-inf', now - window - slack)
  redis.call('EXPIRE', KEYS[i], window + slack)
  redis.call('SADD', KEYS[1], KEYS[i])
end
redis.call('EXPIRE', KEYS[1], longest + slack)
return answer
"""

# KEYS: the receipt's, a set of the keys that it was spent in. ARGV: receipt.
_GIVE_BACK = """
for _, key in ipairs(redis.call('SMEMBERS', KEYS[1])) do redis.call('ZREM', key, ARGV[1]) end
redis.call('DEL', KEYS[1])
return 1
"""

# KEYS: the value's. ARGV: the value with its end before it, now, ttl with slack. Answers what is stored afterwards.
_CLAIM = """
local stored = redis.call('GET', KEYS[1])
if stored and struct.unpack('>I8', stored) > tonumber(ARGV[2]) then return stored end
redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[3])
return ARGV[1]
"""

_POP = """
local stored = redis.call('GET', KEYS[1])
redis.call('DEL', KEYS[1])
return stored
"""


class RedisLedger:
    """`RedisLedger("redis://127.0.0.1:6379/0")`; `rediss://` for TLS, `unix://` for a socket. A server that does not answer is `Unavailable`.

    The server must never evict what it holds to make room (`maxmemory-policy noeviction`): a limit or a burnt code would be forgotten. One that may is
    `Misconfigured`, at start, or at the first call where the server was down at start. `timeout` is in seconds, for connecting and for each answer.
    All keys start with `prefix`, which is also their hash tag.
    """

    def __init__(self, url: str, *, prefix: str = "authy_wsgi", timeout: float = 2.0) -> None:
        self._shown = _without_password(url)
        self._prefix = "{" + prefix + "}"
        self._lock = threading.Lock()
        self._checked = False
        try:
            # SECURITY: by default the library sends a command up to ten times, and a claim sent twice would find itself a loser. What may be repeated is
            # repeated here, once.
            self._redis: Redis = Redis.from_url(
                url, socket_timeout=timeout, socket_connect_timeout=timeout, retry=Retry(NoBackoff(), 0), retry_on_timeout=False, decode_responses=False
            )
        except ValueError:
            # The library's own message would repeat the URL.
            raise Misconfigured('The URL of a RedisLedger must be like "redis://127.0.0.1:6379/0".') from None
        self._spend = self._redis.register_script(_SPEND)
        self._give_back = self._redis.register_script(_GIVE_BACK)
        self._claim = self._redis.register_script(_CLAIM)
        self._pop = self._redis.register_script(_POP)
        try:
            self._check()
        except Unavailable as error:
            log.warning("%s does not answer yet (%s): the gate stays closed until it does", self._shown, error.reason)

    def __repr__(self) -> str:
        return f"RedisLedger({self._shown!r})"

    # -- the ledger

    def spend(self, budgets: Sequence[Budget], *, now: int) -> Allowance:
        receipt = new_id()
        keys = [self._key("receipt", receipt), *(self._key("tries", f"{it.rule}:{it.window}:{it.subject}") for it in budgets)]
        arguments = [receipt, now, _SLACK, *(number for it in budgets for number in (it.limit, it.window))]
        answer = self._run(self._spend, keys, arguments)
        if answer[0]:
            return Allowance(ok=True, receipt=receipt, left=tuple(answer[1:]))
        return Allowance(ok=False, refused=budgets[answer[1] - 1], again_at=int(answer[2]))

    def give_back(self, receipt: str) -> None:
        self._run(self._give_back, [self._key("receipt", receipt)], [receipt])

    def claim(self, key: str, value: bytes, ttl: int, *, now: int) -> bytes:
        stored: bytes = self._run(self._claim, [self._key("value", key)], [_ending(now + ttl) + value, now, ttl + _SLACK])
        return stored[_END:]

    def put(self, key: str, value: bytes, ttl: int, *, now: int) -> None:
        # Never sent twice: the second one would undo what came in between.
        self._run(self._redis.set, self._key("value", key), _ending(now + ttl) + value, ttl + _SLACK, repeat=False)

    def get(self, key: str, *, now: int) -> bytes | None:
        return _live(self._run(self._redis.get, self._key("value", key)), now)

    def get_many(self, keys: Sequence[str], *, now: int) -> list[bytes | None]:
        """What is under each of these keys, in one command."""
        return [_live(stored, now) for stored in self._run(self._redis.mget, [self._key("value", key) for key in keys])]

    def pop(self, key: str, *, now: int) -> bytes | None:
        # Never sent twice: the second time would find nothing.
        return _live(self._run(self._pop, [self._key("value", key)], repeat=False), now)

    # -- the server

    def close(self) -> None:
        """Close the connections; the next call opens new ones."""
        self._redis.close()

    def _key(self, kind: str, name: str) -> str:
        return f"{self._prefix}:{kind}:{name}"

    def _run(self, command: Any, *arguments: Any, repeat: bool = True) -> Any:
        self._check()
        try:
            return command(*arguments)
        except ConnectionError as error:
            # A connection that the server has closed since (it was started anew); the library does not look before it writes.
            if not repeat or isinstance(error, AuthenticationError):
                raise Unavailable("ledger", type(error).__name__) from None
        except RedisError as error:
            # SECURITY: the text of an error may quote keys and values; its class is enough for the log.
            raise Unavailable("ledger", type(error).__name__) from None
        return self._run(command, *arguments, repeat=False)

    def _check(self) -> None:
        if self._checked:
            return
        with self._lock:
            try:
                policy = self._redis.info("memory").get("maxmemory_policy")
            except RedisError as error:
                raise Unavailable("ledger", type(error).__name__) from None
            if policy != "noeviction":
                raise Misconfigured(
                    f"The Redis server of the ledger may evict what it holds (maxmemory-policy {policy}), and with it limits and burnt codes: "
                    "set maxmemory-policy noeviction, or give the ledger a server of its own."
                )
            self._checked = True


def _ending(ends: int) -> bytes:
    return max(0, ends).to_bytes(8, "big")


def _live(stored: bytes | None, now: int) -> bytes | None:
    if stored is None or int.from_bytes(stored[:_END], "big") <= now:
        return None
    return stored[_END:]


def _without_password(url: str) -> str:
    try:
        parts = urlsplit(url)
        host = parts.netloc.rpartition("@")[2]
    except ValueError:
        return "redis"
    return f"{parts.scheme}://{host}{parts.path}"
