"""What the gateway looks after by the clock: whether what it needs is there, and what nobody will end.

That is uploads whose files never came, with what they left in the object store; parts that were begun there and that
nobody knows of any more; and answers that were kept for requests with an Idempotency-Key.
"""

import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import select

from ingest_gateway import answers, waiting
from ingest_gateway.accept import RAW_UPLOADS
from ingest_gateway.gateway import Gateway
from rowstream.database import sessions, signers
from rowstream.database.access_tables import organizations
from rowstream.database.connection import retryable_errors
from rowstream.database.version import is_migrated
from rowstream.errors import Retryable
from rowstream.runtime.logging import get_logger
from rowstream.storage.lifecycle import ERRORS, ERRORS_DAYS, Outcome
from rowstream.storage.store import ObjectMissing

log = get_logger(__name__)

DATABASE, STORE = "database", "storage"
_LOOK_SECONDS = 5.0
_LOOK_AGAIN_SECONDS = 0.5
_AT_MOST = 20  # in one transaction, which is idle while the store removes what they left


def run(gateway: Gateway, stop: threading.Event) -> None:
    """Look and sweep until `stop`; run it in a thread of its own."""
    due = dict.fromkeys(_SWEEPS, 0.0)
    while not stop.is_set():
        ready = look(gateway)
        for what, (work, seconds) in _SWEEPS.items():
            if ready and not stop.is_set() and time.monotonic() >= due[what]:
                due[what] = time.monotonic() + seconds
                _sweep(gateway, what, work)
        if ready:
            _write_uses(gateway)
        stop.wait(_LOOK_SECONDS if ready else _LOOK_AGAIN_SECONDS)
    _write_uses(gateway)


def look(gateway: Gateway) -> bool:
    """Tell the health whether the database and the object store are there; True when both are.

    Strangers may ask for the health, so it has no address and no name; those are in the log, once for each change.
    """
    missing = {DATABASE: database_lacks(gateway), STORE: _store_lacks(gateway)}
    for what, lack in missing.items():
        if lack is None:
            gateway.health.ok(what)
        elif gateway.health.waiting(what, lack.said):
            log.warning("waiting", part=what, reason=lack.reason)
    return not any(missing.values())


def sweep(gateway: Gateway) -> int:
    """Give up uploads whose files were not sent in time, organization by organization; returns how many.

    What they left in the store is removed in the same transaction: while their rows are locked nobody accepts them, and
    where the store is away all of it is done again later.
    """
    slice_ = gateway.settings.gateway
    seconds = slice_.presign_seconds + slice_.expiry_grace_seconds
    in_parts = max(seconds, gateway.settings.sending.parts_keep_seconds)
    given_up = 0
    for organization_id in _organizations(gateway):
        more = True
        while more:
            with gateway.acting_for(organization_id) as connection:
                left = waiting.give_up(
                    connection, after_seconds=seconds, in_parts_after_seconds=in_parts, at_most=_AT_MOST
                )
                for one in left:
                    waiting.remove(gateway.store, one)
            given_up += len(left)
            more = len(left) == _AT_MOST
    return given_up


def sweep_parts(gateway: Gateway, *, now: datetime | None = None) -> int:
    """Drop parts in the store that are older than any upload that might still go on; returns of how many objects."""
    seconds = max(gateway.settings.sending.parts_keep_seconds, gateway.settings.gateway.presign_seconds)
    before = (now or datetime.now(UTC)) - 2 * timedelta(seconds=seconds)
    parts = gateway.store.parts
    dropped = 0
    for begun in list(parts.left_over(gateway.settings.storage.bucket, RAW_UPLOADS, before=before)):
        parts.drop(begun)
        dropped += 1
    return dropped


def sweep_nonces(gateway: Gateway) -> int:
    """Forget the nonces of signed requests that are too old to be taken again; returns how many."""
    with retryable_errors(), gateway.keys.begin() as connection:
        return signers.forget_nonces(connection, after_seconds=signers.KEEP_NONCES_SECONDS)


def sweep_sessions(gateway: Gateway) -> int:
    """Forget sessions of people that ended by themselves; returns how many tokens went."""
    with retryable_errors(), gateway.keys.begin() as connection:
        return sessions.sweep(connection)


def _write_uses(gateway: Gateway) -> None:
    try:
        gateway.uses.write(gateway.keys)
    except Retryable as error:
        log.warning("not written when keys were last used, to be tried again", reason=str(error))


def sweep_answers(gateway: Gateway) -> int:
    """Forget answers that were kept long enough, organization by organization; returns how many."""
    seconds, forgotten = gateway.settings.sending.answers_keep_seconds, 0
    for organization_id in _organizations(gateway):
        with gateway.acting_for(organization_id) as connection:
            forgotten += answers.forget(connection, after_seconds=seconds)
    return forgotten


def sweep_exports(gateway: Gateway) -> int:
    """Remove error exports that are too old, where the store does not do so by rules of its own; returns how many."""
    bucket, lifecycle = gateway.settings.storage.bucket, gateway.store.lifecycle
    try:
        if lifecycle.state(bucket) is Outcome.AS_WANTED:
            return 0
    except Retryable as error:  # the gateway need not be allowed to see the rules
        log.debug("rules of the bucket not seen", reason=str(error))
    except ObjectMissing:
        return 0  # the bucket itself is gone, which the health tells
    return lifecycle.remove_old(bucket, ERRORS, before=datetime.now(UTC) - timedelta(days=ERRORS_DAYS))


def _organizations(gateway: Gateway) -> Sequence[UUID]:
    with gateway.reading_keys() as connection:
        return connection.execute(select(organizations.c.id)).scalars().all()


def _sweep(gateway: Gateway, what: str, work: Callable[[Gateway], int]) -> None:
    try:
        count = work(gateway)
    except Retryable as error:
        log.warning("not swept", what=what, reason=str(error))
    else:
        if count:
            log.info("swept", what=what, count=count)


class Lack(NamedTuple):
    """What is missing: as everybody may know it, and in full."""

    said: str
    reason: str


def database_lacks(gateway: Gateway) -> Lack | None:
    """What the database lacks before anything can work with it; None when it is as it should be."""
    try:
        with retryable_errors(), gateway.engine.connect() as connection:
            if is_migrated(connection):
                return None
    except Retryable as error:
        return Lack("does not answer", str(error))
    said = "its tables are not those of this version; run rowstream migrate"
    return Lack(said, said)


def _store_lacks(gateway: Gateway) -> Lack | None:
    bucket = gateway.settings.storage.bucket
    try:
        if gateway.store.bucket_exists(bucket):
            return None
    except Retryable as error:
        return Lack("does not answer", str(error))
    return Lack("the bucket is not there; make it", f"there is no bucket {bucket!r}; make it")


_SWEEPS: dict[str, tuple[Callable[[Gateway], int], float]] = {
    "uploads whose files never came": (sweep, 60.0),
    "answers to requests with an Idempotency-Key": (sweep_answers, 600.0),
    "parts that nobody will put together": (sweep_parts, 3_600.0),
    "error exports that are too old": (sweep_exports, 21_600.0),
    "nonces of signed requests": (sweep_nonces, 60.0),
    "sessions that ended": (sweep_sessions, 3_600.0),
}
"""What is swept, and every how many seconds."""
