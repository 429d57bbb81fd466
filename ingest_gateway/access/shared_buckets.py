"""Token buckets in Redis, which several gateways take from.

The library `limits` counts in windows only: its moving window keeps one entry for each request, its others let up to
twice the limit through at a window's edge, and none says how full a bucket is. The bucket of `buckets` is one number,
so a script of a few lines that Redis runs as one step is exact with any number of gateways, by Redis's own clock.
"""

import threading
import time
from collections.abc import Callable
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.commands.core import Script
from redis.retry import Retry

from ingest_gateway.access.buckets import Limit, Verdict
from rowstream.errors import Fatal

_MICRO = 1_000_000
_TIMEOUT = 0.25
_AWAY_SECONDS = 1.0
_PREFIX = "rowstream:limit:"

# Its key holds the time, in microseconds, at which the bucket is full; arguments: interval and window. Answers whether
# there was a token, and the debt.
_TAKE = """
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local full_at = tonumber(redis.call('GET', KEYS[1]) or '0') or 0
local debt = math.max(0, full_at - now)
local after = debt + tonumber(ARGV[1])
if after > tonumber(ARGV[2]) then return {0, math.ceil(debt)} end
redis.call('SET', KEYS[1], string.format('%.0f', now + after), 'PX', math.ceil(after / 1000) + 1000)
return {1, math.ceil(after)}
"""

# Its key is the same; argument: interval.
_GIVE_BACK = """
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local full_at = tonumber(redis.call('GET', KEYS[1]) or '0') or 0
local debt = full_at - now - tonumber(ARGV[1])
if debt <= 0 then return redis.call('DEL', KEYS[1]) end
redis.call('SET', KEYS[1], string.format('%.0f', now + debt), 'PX', math.ceil(debt / 1000) + 1000)
"""


class SharedBuckets:
    """Buckets in Redis; safe to use from several threads.

    Args:
        url: of the Redis.
        told: is called with what is wrong when Redis goes away, and with None when it is back.
        clock: seconds, which only rise.

    Raises:
        Fatal: the address cannot be read.
    """

    def __init__(
        self, url: str, told: Callable[[str | None], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        try:
            self._redis = redis.Redis.from_url(
                url,
                socket_timeout=_TIMEOUT,
                socket_connect_timeout=_TIMEOUT,
                retry=Retry(NoBackoff(), 1),  # for a connection that was closed while it was not used
            )
        except ValueError:
            raise Fatal("ROWSTREAM_LIMITS__REDIS_URL is not an address such as redis://host:6379/0") from None
        self._take = self._redis.register_script(_TAKE)
        self._give_back = self._redis.register_script(_GIVE_BACK)
        self._told, self._clock = told, clock
        self._lock = threading.Lock()
        self._away_until: float | None = None

    def take(self, name: str, limit: Limit) -> Verdict | None:
        """Take a token from the bucket of this name; None while Redis is away, which is asked again each second."""
        answer = self._run(self._take, name, limit.interval * _MICRO, limit.window * _MICRO + 1)
        if answer is None:
            return None
        allowed, debt = answer
        return Verdict(limit, allowed=bool(allowed), debt=debt / _MICRO)

    def give_back(self, name: str, limit: Limit) -> None:
        """Put a token back that was taken from the bucket of this name; while Redis is away, it is lost."""
        self._run(self._give_back, name, limit.interval * _MICRO)

    def close(self) -> None:
        """Close all connections."""
        self._redis.close()

    def _run(self, script: Script, name: str, *arguments: float) -> Any:
        """What a script answers; None while Redis is away."""
        away_until = self._away_until
        if away_until is not None and self._clock() < away_until:
            return None
        try:
            answer = script(keys=[_PREFIX + name], args=arguments)
        except (redis.RedisError, OSError) as error:
            self._gone(error)
            return None
        self._back()
        return answer

    def _gone(self, error: Exception) -> None:
        with self._lock:
            was_there = self._away_until is None
            self._away_until = self._clock() + _AWAY_SECONDS
        if was_there:
            self._told(type(error).__name__)

    def _back(self) -> None:
        if self._away_until is None:
            return
        with self._lock:
            was_away, self._away_until = self._away_until is not None, None
        if was_away:
            self._told(None)
