"""Passwords are checked a few at a time, and those who wait for it are not too many."""

import asyncio
import threading
from collections.abc import Iterator

import pytest

from ingest_gateway.access.passwords import Passwords
from ingest_gateway.problems import Problem
from rowstream.runtime import passwords
from tests.people import PASSWORD, PASSWORD_HASH


@pytest.fixture
def two() -> Iterator[Passwords]:
    checker = Passwords(2)
    yield checker
    checker.close()


def test_a_right_one_is_right_and_nobody_has_none(two: Passwords) -> None:
    async def verdicts() -> list[bool]:
        return [
            (await two.check(known, given)).right
            for known, given in ((PASSWORD_HASH, PASSWORD), (PASSWORD_HASH, "x"), (None, PASSWORD), (None, "x"))
        ]

    assert asyncio.run(verdicts()) == [True, False, False, False]


def test_two_are_checked_at_a_time_some_wait_and_the_rest_is_refused(
    two: Passwords, monkeypatch: pytest.MonkeyPatch
) -> None:
    go, lock = threading.Event(), threading.Lock()
    inside: list[int] = []
    running = 0

    def slow(_: str, __: str) -> bool:
        nonlocal running
        with lock:
            running += 1
            inside.append(running)
        go.wait(60)
        with lock:
            running -= 1
        return True

    monkeypatch.setattr(passwords, "is_right", slow)
    monkeypatch.setattr(passwords, "is_outdated", lambda _: False)

    async def crowd() -> list[object]:
        tries = [asyncio.create_task(two.check("hash", "x")) for _ in range(50)]
        refused = [one for one in (await asyncio.wait(tries, timeout=1))[0] if one.exception()]
        assert len(refused) == 50 - 2 * 17, "the rest still waits"
        go.set()
        return await asyncio.gather(*tries, return_exceptions=True)

    answers = asyncio.run(crowd())
    assert max(inside) == 2
    busy = [one for one in answers if isinstance(one, Problem)]
    assert {(one.status_code, one.kind) for one in busy} == {(503, "busy")}
    assert len(answers) - len(busy) == 2 * 17


def test_who_leaves_makes_room(two: Passwords, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(two, "_room", 1)

    async def one_after_the_other() -> int:
        return sum([(await two.check(PASSWORD_HASH, PASSWORD)).right for _ in range(3)])

    assert asyncio.run(one_after_the_other()) == 3
