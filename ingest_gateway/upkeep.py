"""What the gateway looks after by the clock: whether what it needs is there, and uploads whose files never came."""

import threading
import time

from sqlalchemy import select

from ingest_gateway import accept
from ingest_gateway.gateway import Gateway
from rowstream.database.access_tables import organizations
from rowstream.database.connection import retryable_errors
from rowstream.database.migrate import is_migrated
from rowstream.errors import Retryable
from rowstream.runtime.logging import get_logger

log = get_logger(__name__)

DATABASE, STORE = "database", "object store"
_LOOK_SECONDS = 5.0
_LOOK_AGAIN_SECONDS = 0.5
_SWEEP_SECONDS = 60.0


def run(gateway: Gateway, stop: threading.Event) -> None:
    """Look and sweep until `stop`; run it in a thread of its own."""
    swept = time.monotonic() - _SWEEP_SECONDS
    while not stop.is_set():
        ready = look(gateway)
        if ready and time.monotonic() - swept >= _SWEEP_SECONDS:
            swept = time.monotonic()
            _sweep(gateway)
        stop.wait(_LOOK_SECONDS if ready else _LOOK_AGAIN_SECONDS)


def look(gateway: Gateway) -> bool:
    """Tell the health whether the database and the object store are there; True when both are."""
    missing = {DATABASE: database_lacks(gateway), STORE: _store_lacks(gateway)}
    for what, why in missing.items():
        if why:
            gateway.health.waiting(what, why)
        else:
            gateway.health.ok(what)
    return not any(missing.values())


def sweep(gateway: Gateway) -> int:
    """Give up uploads whose files were not sent in time, organization by organization; returns how many."""
    slice_ = gateway.settings.gateway
    seconds = slice_.presign_seconds + slice_.expiry_grace_seconds
    with retryable_errors(), gateway.keys.connect() as connection:
        ids = connection.execute(select(organizations.c.id)).scalars().all()
    given_up = 0
    for organization_id in ids:
        with gateway.acting_for(organization_id) as connection:
            given_up += accept.give_up(connection, after_seconds=seconds)
    return given_up


def _sweep(gateway: Gateway) -> None:
    try:
        given_up = sweep(gateway)
    except Retryable as error:
        log.warning("uploads not swept", reason=str(error))
    else:
        if given_up:
            log.info("uploads given up, since their files never came", uploads=given_up)


def database_lacks(gateway: Gateway) -> str | None:
    """What the database lacks before anything can work with it; None when it is as it should be."""
    try:
        with retryable_errors(), gateway.engine.connect() as connection:
            return (
                None if is_migrated(connection) else "its tables are not those of this version; run rowstream migrate"
            )
    except Retryable as error:
        return str(error)


def _store_lacks(gateway: Gateway) -> str | None:
    bucket = gateway.settings.storage.bucket
    try:
        return None if gateway.store.bucket_exists(bucket) else f"there is no bucket {bucket!r}; make it"
    except Retryable as error:
        return str(error)
