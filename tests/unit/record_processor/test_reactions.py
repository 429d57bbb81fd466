"""What each kind of error asks for, and what is said of it."""

import polars as pl
import psycopg
import pytest
import sqlalchemy.exc
from psycopg import errors

from record_processor.reactions import Reaction, code_of, reaction_to, reason_of, words_for
from rowstream.errors import Poison

WAIT, AGAIN, DIVIDE, FAIL = Reaction.WAIT, Reaction.AGAIN, Reaction.DIVIDE, Reaction.FAIL


def wrapped(error: Exception) -> Exception:
    """As SQLAlchemy gives it."""
    return sqlalchemy.exc.DBAPIError("SELECT 1", {}, error)


CASES: list[tuple[BaseException, Reaction]] = [
    (psycopg.OperationalError("connection refused"), WAIT),
    (psycopg.InterfaceError("the connection is closed"), WAIT),
    (errors.AdminShutdown(), WAIT),
    (errors.CrashShutdown(), WAIT),
    (errors.CannotConnectNow(), WAIT),
    (errors.ConnectionFailure(), WAIT),
    (errors.TooManyConnections(), WAIT),
    (errors.DiskFull(), WAIT),
    (errors.OutOfMemory(), WAIT),
    (errors.IoError(), WAIT),
    (errors.InvalidPassword(), WAIT),
    (errors.InvalidCatalogName(), WAIT),
    (errors.ReadOnlySqlTransaction(), WAIT),
    (errors.IdleInTransactionSessionTimeout(), WAIT),
    (errors.UndefinedTable(), WAIT),
    (errors.UndefinedColumn(), WAIT),
    (errors.InsufficientPrivilege(), WAIT),
    (sqlalchemy.exc.TimeoutError("no connection of the pool is free"), WAIT),
    (sqlalchemy.exc.PendingRollbackError("the connection was lost"), WAIT),
    (errors.DeadlockDetected(), AGAIN),
    (errors.SerializationFailure(), AGAIN),
    (errors.LockNotAvailable(), AGAIN),
    (errors.CheckViolation(), DIVIDE),
    (errors.NotNullViolation(), DIVIDE),
    (errors.UniqueViolation(), DIVIDE),
    (errors.InvalidTextRepresentation(), DIVIDE),
    (errors.NumericValueOutOfRange(), DIVIDE),
    (errors.CharacterNotInRepertoire(), DIVIDE),
    (errors.RaiseException(), DIVIDE),
    (errors.ProgramLimitExceeded(), DIVIDE),
    (errors.WithCheckOptionViolation(), DIVIDE),
    (errors.TriggeredActionException(), DIVIDE),
    (errors.QueryCanceled(), FAIL),
    (errors.UndefinedFunction(), FAIL),
    (errors.InternalError_(), FAIL),
    (errors.DataCorrupted(), FAIL),
    (errors.SyntaxError(), FAIL),
    (ValueError("x"), FAIL),
    (KeyError("x"), FAIL),
    (MemoryError(), FAIL),
    (Poison("x"), FAIL),
    (pl.exceptions.PanicException("x"), FAIL),
    (pl.exceptions.ComputeError("x"), FAIL),
]


@pytest.mark.parametrize(("error", "reaction"), CASES, ids=[type(error).__qualname__ for error, _ in CASES])
def test_an_error_has_one_reaction_however_it_comes(error: BaseException, reaction: Reaction) -> None:
    assert reaction_to(error) is reaction
    if isinstance(error, psycopg.Error):
        assert reaction_to(wrapped(error)) is reaction


def test_a_connection_that_was_lost_is_waited_for_whatever_the_error() -> None:
    error = sqlalchemy.exc.InternalError("SELECT 1", {}, psycopg.InternalError("?"), connection_invalidated=True)
    assert reaction_to(error) is WAIT


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (errors.CheckViolation("Failing row contains (Anna)"), "CheckViolation (23514)"),
        (wrapped(errors.DeadlockDetected("while Anna")), "DeadlockDetected (40P01)"),
        (psycopg.OperationalError("connection refused\nAnna"), "OperationalError: connection refused"),
        (ValueError("Anna"), "ValueError"),
    ],
)
def test_a_reason_says_the_kind_and_no_cell(error: Exception, reason: str) -> None:
    assert reason_of(error) == reason


@pytest.mark.parametrize(
    ("error", "code"),
    [(errors.InternalError_(), "DB_002"), (wrapped(errors.SyntaxError()), "DB_002"), (ValueError("x"), "UNK_001")],
)
def test_a_chunk_that_is_given_up_on_says_whose_fault_it_was(error: Exception, code: str) -> None:
    assert code_of(error) == code


@pytest.mark.parametrize(
    ("sqlstate", "words"),
    [
        ("23514", "check violation"),
        ("22003", "numeric value out of range"),
        ("P0001", "raise exception"),
        ("ZZ999", "error ZZ999"),
    ],
)
def test_a_state_is_said_in_words(sqlstate: str, words: str) -> None:
    assert words_for(sqlstate) == words
