"""Limits on requests: of an address before anybody is asked who they are, of a key, a person and an organization after.

A bucket in memory comes first, always: while it says no, neither Redis nor the database is asked. With Redis it holds
what Redis said last, so it never refuses what Redis would allow, but for tokens that other gateways gave back; without,
or while Redis is away, it is the limit.
"""

import hashlib
import threading
import time
from collections.abc import Callable
from uuid import UUID

from fastapi import Request
from sqlalchemy import select

from ingest_gateway.access.address import site_of
from ingest_gateway.access.buckets import Buckets, Limit, Verdict
from ingest_gateway.access.limit_answers import too_many
from ingest_gateway.access.remembered import Remembered
from ingest_gateway.access.shared_buckets import SharedBuckets
from ingest_gateway.doer import Doer
from ingest_gateway.gateway import Gateway
from ingest_gateway.limit_settings import LimitsSlice
from rowstream.database.access_tables import organizations
from rowstream.runtime.logging import get_logger
from rowstream.runtime.metrics import REFUSED

log = get_logger(__name__)

PART = "rate limits"
_OWN_LIMIT_SECONDS = 30.0
_REMEMBERED_ORGANIZATIONS = 10_000
_SAY_SECONDS = 10.0

Bucket = tuple[str, Limit]
"""A bucket by its name, and the limit that holds for it."""


class Limits:
    """The limits of one gateway; safe to use from several threads.

    Args:
        settings: how much is allowed.
        degraded: is told why the gateways do not count together any more, and None when they do again.
        clock: seconds, which only rise.

    Raises:
        Fatal: the address of Redis cannot be read.
    """

    def __init__(
        self,
        settings: LimitsSlice,
        degraded: Callable[[str | None], None] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings, self._degraded, self._clock = settings, degraded, clock
        self._buckets = Buckets(settings.remembered, clock)
        self._refusals = Buckets(settings.remembered, clock)
        url = settings.redis_url
        self._shared = SharedBuckets(url.get_secret_value(), self._away, clock) if url else None
        self._emptied_by: Remembered[bytes, Bucket] = Remembered(settings.remembered)
        self._organizations: Remembered[UUID, tuple[float, int]] = Remembered(_REMEMBERED_ORGANIZATIONS)
        self._lock = threading.Lock()
        self._said, self._unsaid = clock() - _SAY_SECONDS, 0

    @property
    def asks_redis(self) -> bool:
        """Whether taking a token may wait for Redis."""
        return self._shared is not None

    def of_address(self, address: str) -> Bucket | None:
        """The bucket of an address; None if addresses have no limit."""
        limit = self._limit("address", self._settings.address_per_minute)
        return (f"address:{site_of(address)}", limit) if limit else None

    def take(self, bucket: Bucket) -> Verdict:
        """Take a token; waits for Redis if there is one, unless it is known that it would say no."""
        if self._shared is not None:
            here = self.look(bucket)
            if not here.allowed:
                return here
            there = self._shared.take(*bucket)
            if there is not None:
                self._buckets.learn(bucket[0], there.debt)
                return there
        return self._buckets.take(*bucket)

    def give_back(self, bucket: Bucket) -> None:
        """Put a token back that was taken; waits for Redis if there is one."""
        if self._shared is not None:
            self._shared.give_back(*bucket)
        self._buckets.give_back(*bucket)

    def look(self, bucket: Bucket) -> Verdict:
        """What is known here of a bucket, at once and without taking a token."""
        return self._buckets.look(*bucket)

    def emptied_by(self, authorization: str) -> Bucket | None:
        """The bucket in which requests with this header were refused last: while it is empty, nobody is looked up.

        The header itself is not kept, only a hash of it.
        """
        return self._emptied_by.get(_hash(authorization))

    def charge(self, gateway: Gateway, caller: Doer, authorization: str | None) -> list[tuple[Bucket, Verdict]]:
        """Take a token for the caller's key or person, and one for the organization.

        Returns:
            What each bucket said; only the last one may have refused. Limits that are off are left out.

        Raises:
            Retryable: the database does not answer.
        """
        settings, kind = self._settings, caller.actor.kind
        own = self._limit(kind, settings.user_per_minute if kind == "user" else settings.key_per_minute)
        together = self._limit("organization", self._of_organization(gateway, caller.organization_id))
        verdicts: list[tuple[Bucket, Verdict]] = []
        for whose, limit in ((caller.actor.id, own), (caller.organization_id, together)):
            if limit is None:
                continue
            bucket = (f"{limit.name}:{whose}", limit)
            verdict = self.take(bucket)
            verdicts.append((bucket, verdict))
            if not verdict.allowed:
                if authorization:
                    self._emptied_by.put(_hash(authorization), bucket)
                break
        return verdicts

    def refused(self, bucket: Bucket) -> bool:
        """Count a refusal and mention it now and then; True if refusals come so fast that they are to be slowed."""
        name, limit = bucket
        REFUSED.labels(f"{limit.name}_limit").inc()
        with self._lock:
            self._unsaid += 1
            count, now = self._unsaid, self._clock()
            said = now - self._said >= _SAY_SECONDS
            if said:
                self._said, self._unsaid = now, 0
        if said:
            log.warning("too many requests, some are refused", bucket=name, refused=count)
        return not self._refusals.take(name, limit).allowed

    def close(self) -> None:
        """Close all connections to Redis."""
        if self._shared is not None:
            self._shared.close()

    def _limit(self, name: str, per_minute: int) -> Limit | None:
        return Limit(name, per_minute, self._settings.burst_seconds) if per_minute else None

    def _of_organization(self, gateway: Gateway, organization_id: UUID) -> int:
        """Requests a minute of an organization, as the database said within the last half minute."""
        now, known = self._clock(), self._organizations.get(organization_id)
        if known and now - known[0] < _OWN_LIMIT_SECONDS:
            return known[1]
        query = select(organizations.c.requests_per_minute).where(organizations.c.id == organization_id)
        with gateway.reading_keys() as connection:
            own: int | None = connection.execute(query).scalar_one_or_none()
        per_minute = self._settings.organization_per_minute if own is None else own
        self._organizations.put(organization_id, (now, per_minute))
        return per_minute

    def _away(self, reason: str | None) -> None:
        if reason is None:
            log.info("redis is back, the gateways count together again")
            self._degraded(None)
        else:
            log.warning("redis does not answer, each gateway counts alone", reason=reason)
            self._degraded("what the gateways share does not answer, each counts alone")


def within_limits(request: Request, gateway: Gateway, caller: Doer) -> None:
    """Let a caller's request pass if their limits allow it; the answer tells them how much is left.

    Raises:
        Problem: 429; says when to try again.
        Retryable: the database does not answer.
    """
    limits: Limits = request.app.state.limits
    charged = limits.charge(gateway, caller, request.headers.get("authorization"))
    state = request.state
    state.limits = [*getattr(state, "limits", ()), *(verdict for _, verdict in charged)]
    if charged and not charged[-1][1].allowed:
        bucket, verdict = charged[-1]
        state.slow_down = limits.refused(bucket)
        raise too_many(verdict)


def _hash(authorization: str) -> bytes:
    return hashlib.sha256(authorization.encode()).digest()[:16]
