"""Checks passwords: a few at a time, and as long for somebody who is not there as for somebody who is.

The checks run in threads of their own, so that log-ins wait for each other and nobody else waits for them; what would
wait behind too many is refused at once.
"""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from starlette import status

from ingest_gateway.problems import RETRY_AFTER_SECONDS, Problem
from rowstream.runtime import passwords

T = TypeVar("T")

_WAITING_FOR_EACH = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Whether a password was right; `better_hash` is what to store instead of a hash with outdated parameters."""

    right: bool
    better_hash: str | None = None


class Passwords:
    """The few threads that hash; made once a process."""

    def __init__(self, at_once: int) -> None:
        self._threads = ThreadPoolExecutor(at_once, thread_name_prefix="passwords")
        self._room = at_once * (1 + _WAITING_FOR_EACH)
        self._inside = 0
        self._nobodys = passwords.hash_password(passwords.random_password())

    async def check(self, password_hash: str | None, password: str) -> Verdict:
        """Whether it is the password with this hash. With None it never is, and takes as long to say.

        Raises:
            Problem: 503, too many are being checked.
        """
        return await self._run(lambda: self._judge(password_hash, password))

    async def hash(self, password: str, *, about: Sequence[str] = ()) -> str:
        """The hash of a new password; `about` is what others know of whose it is.

        Raises:
            Unfit: it cannot be one.
            Problem: 503, too many are being checked.
        """
        return await self._run(lambda: passwords.hash_password(password, about=about))

    def close(self) -> None:
        """Take no more work."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _judge(self, password_hash: str | None, password: str) -> Verdict:
        right = passwords.is_right(password_hash or self._nobodys, password) and password_hash is not None
        if right and password_hash is not None and passwords.is_outdated(password_hash):
            return Verdict(right=True, better_hash=passwords.hash_password(password))
        return Verdict(right=right)

    async def _run(self, work: Callable[[], T]) -> T:
        if self._inside >= self._room:
            detail = f"too many people are logging in right now; try again in {RETRY_AFTER_SECONDS} seconds"
            headers = {"Retry-After": str(RETRY_AFTER_SECONDS)}
            raise Problem(status.HTTP_503_SERVICE_UNAVAILABLE, "busy", detail, headers=headers)
        self._inside += 1  # counted in the one thread of the event loop
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        finally:
            self._inside -= 1
