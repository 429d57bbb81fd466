"""What is away is waited for, said, and given up only at the end."""

import threading
from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import exc

from auditor.patience import Patience, Stopping
from rowstream.errors import Fatal, Retryable
from rowstream.runtime.health import Health


def failing(*errors: Exception) -> Callable[[], str]:
    left: Iterator[Exception] = iter(errors)

    def attempt() -> str:
        for error in left:
            raise error
        return "done"

    return attempt


@pytest.mark.parametrize(
    "error",
    [
        Retryable("not yet"),
        exc.OperationalError("SELECT", {}, Exception("away")),
        exc.TimeoutError("no connection free"),
    ],
)
def test_it_tries_until_it_is_done(error: Exception) -> None:
    health = Health()
    assert Patience(health, threading.Event()).until_done("database", failing(error)) == "done"
    assert health.waiting_for == []


def test_readiness_says_what_is_waited_for_without_the_statement() -> None:
    health, stop = Health(), threading.Event()
    seen: list[str] = []

    def attempt() -> None:
        seen.extend(health.waiting_for)
        if not seen:
            raise exc.OperationalError("SELECT secret", {}, Exception("no route\nto host"))

    Patience(health, stop).until_done("database", attempt)
    assert seen == ["database: no route"]


def test_asked_to_stop_it_gives_up() -> None:
    stop = threading.Event()
    stop.set()
    with pytest.raises(Stopping):
        Patience(Health(), stop).until_done("database", failing(Retryable("a"), Retryable("b")))


def test_any_other_error_passes_at_once() -> None:
    with pytest.raises(Fatal):
        Patience(Health(), threading.Event()).until_done("x", failing(Fatal("wrong"), Retryable("not reached")))
