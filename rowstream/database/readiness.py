"""Waits at the start of a service until the database is there, with the tables of this version."""

import threading

from sqlalchemy import Engine

from rowstream.database.connection import retryable_errors
from rowstream.database.schemas import SchemaTable
from rowstream.database.version import is_migrated
from rowstream.errors import Retryable
from rowstream.runtime.health import Health
from rowstream.runtime.logging import get_logger

log = get_logger(__name__)

WHAT = "database"
_AGAIN_SECONDS = 0.5


def until_ready(engine: Engine, health: Health, stop: threading.Event) -> SchemaTable | None:
    """Wait for the database, register the schemas of this version, and say so in the service's readiness.

    Returns:
        The registered schemas; None if `stop` was set first.
    """
    schemas = SchemaTable(engine)
    while not stop.is_set():
        try:
            _try(engine, schemas)
        except Retryable as error:
            log.warning("waiting", waits_for=WHAT, reason=str(error))
            health.waiting(WHAT, str(error))
            health.beat()
            stop.wait(_AGAIN_SECONDS)
        else:
            health.ok(WHAT)
            return schemas
    return None


def _try(engine: Engine, schemas: SchemaTable) -> None:
    with retryable_errors():
        with engine.connect() as connection:
            if not is_migrated(connection):
                raise Retryable("its tables are not those of this version; run `rowstream migrate`")
        schemas.register()
