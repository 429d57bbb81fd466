"""Connections to Postgres: one pool a process, each connection acting as its service's role.

The role is set when the connection starts (`options=-c role=...`), so a service can do no more than its grants say,
even where one login may act as several. Cut networks are noticed by keep-alives instead of after hours (libpq's
defaults), and every session names its service, which is how a stalled one is recognised and ended.
"""

import select
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast
from uuid import UUID

import psycopg
import sqlalchemy
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import InvalidatePoolError

from rowstream.errors import Fatal, Retryable

GATEWAY_ROLE = "rowstream_gateway"
KEYS_ROLE = "rowstream_keys"
RELAY_ROLE = "rowstream_relay"
SPLITTER_ROLE = "rowstream_splitter"
PROCESSOR_ROLE = "rowstream_processor"
AUDITOR_ROLE = "rowstream_auditor"

_CONNECT = {
    "connect_timeout": 5,
    "keepalives_idle": 15,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}


IDLE_SECONDS = 30.0
"""What most services take: an auditor, a gateway or a processor that is stopped in a transaction lets go after it."""
_REFUSALS = ("22", "23", "54")  # classes of SQLSTATE


def make_engine(
    url: str, *, role: str | None = None, service: str, pool_size: int = 4, idle_seconds: float | None = None
) -> Engine:
    """A pool of connections to `url` (a `postgresql://` address) that act as `role`.

    A transaction in which nothing is said for `idle_seconds` is ended by the server: a service that was stopped in the
    middle of one keeps no row and nothing else locked for ever.

    Raises:
        Fatal: the address cannot be read.
    """
    try:
        parsed = sqlalchemy.make_url(url).set(drivername="postgresql+psycopg")
    except (sqlalchemy.exc.ArgumentError, ValueError):
        raise Fatal("ROWSTREAM_DATABASE__URL is not an address such as postgresql://user@host:5432/name") from None
    options = "-c timezone=UTC" + (f" -c role={role}" if role else "")
    if idle_seconds is not None:
        options += f" -c idle_in_transaction_session_timeout={int(idle_seconds * 1000)}"
    engine = sqlalchemy.create_engine(
        parsed,
        pool_size=pool_size,
        max_overflow=pool_size,
        pool_timeout=10,
        hide_parameters=True,  # an error's text reaches logs, and parameters may be cells of a record
        connect_args={**_CONNECT, "options": options, "application_name": f"rowstream-{service}"},
    )
    sqlalchemy.event.listen(engine, "checkout", _check_not_ended)
    return engine


def _check_not_ended(connection: psycopg.Connection[Any], *_: object) -> None:
    """Let the pool replace connections that the server has ended, as when it starts again.

    Asks the socket and not the server, which a ping does (`pool_pre_ping`): an idle connection has nothing to read but
    its end. The idea is go-sql-driver's for MySQL.

    Raises:
        InvalidatePoolError: it has ended, and those that are older have too.
    """
    if connection.closed or _has_something_to_read(connection.fileno()):
        raise InvalidatePoolError("the server has ended it")


def _has_something_to_read(descriptor: int) -> bool:
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(0))


def act_for(connection: Connection, organization_id: UUID) -> None:
    """Let the rest of this transaction see the rows of one organization (row-level security)."""
    connection.execute(text("SELECT set_config('rowstream.organization_id', :id, true)"), {"id": str(organization_id)})


def driver(connection: Connection) -> psycopg.Connection[Any]:
    """The psycopg connection under a SQLAlchemy one, for COPY and NOTIFY; the transaction is shared."""
    return cast("psycopg.Connection[Any]", connection.connection.driver_connection)


def is_away(error: BaseException) -> bool:
    """Whether an error only says that the database is away, or ended our session: the same may succeed later."""
    if isinstance(error, sqlalchemy.exc.DBAPIError) and error.connection_invalidated:
        return True
    cause = getattr(error, "orig", None) or error
    return not is_refusal(error) and isinstance(
        cause,
        psycopg.OperationalError
        | psycopg.InterfaceError
        | psycopg.errors.IdleInTransactionSessionTimeout
        | sqlalchemy.exc.TimeoutError
        | sqlalchemy.exc.PendingRollbackError,
    )


def is_refusal(error: BaseException) -> bool:
    """Whether the database refuses what it was given, for good: data, constraints, a limit that a value passes.

    Of these the driver counts limits (an index entry that is too long) as operational, like a server that is away.
    """
    cause = getattr(error, "orig", None) or error
    return isinstance(cause, psycopg.Error) and (cause.sqlstate or "").startswith(_REFUSALS)


@contextmanager
def retryable_errors() -> Iterator[None]:
    """Turn what the driver says when the database is away into `Retryable`; all else passes as it is."""
    try:
        yield
    except (sqlalchemy.exc.SQLAlchemyError, psycopg.Error) as error:
        if not is_away(error):
            raise
        raise Retryable(f"the database does not answer: {first_line(error)}") from error


def first_line(error: BaseException) -> str:
    """The first line of an error's text: the part without SQL and parameters, which may hold cells."""
    cause = getattr(error, "orig", None) or error
    return str(cause).strip().partition("\n")[0]
