"""How often somebody may try to log in: for one account from one address, for one account, and from one address.

The buckets are those of all other limits, so several gateways that share a Redis count together. Each try counts until
it is known to have succeeded, whether there is such an account or not: nobody learns anything from being slowed, and
many at the same moment are no way around. A try that succeeded is given back, since people and their programs log in
often, and a whole office from one address in the morning.
"""

import hashlib
import math

from starlette import status

from ingest_gateway.access.address import site_of
from ingest_gateway.access.buckets import Limit, Verdict
from ingest_gateway.access.limits import Bucket, Limits
from ingest_gateway.access.settings import AccessSettings
from ingest_gateway.problems import Problem

_EVERYWHERE = 10


class Attempts:
    """The limits on log-ins of one gateway."""

    def __init__(self, limits: Limits, settings: AccessSettings) -> None:
        tries = settings.attempts_an_account
        self._limits = limits
        self._here = Limit("log_ins", 1, 60.0 * tries)
        self._everywhere = Limit("log_ins_everywhere", _EVERYWHERE, 60.0 * tries)
        self._address = Limit("log_ins_address", settings.attempts_an_address, 60.0)

    def begin(self, account: str, address: str | None) -> None:
        """Count a try.

        Args:
            account: the e-mail address in its canonical form; only a hash of it is kept.
            address: from where.

        Raises:
            Problem: 429, there were too many; says when to try again.
        """
        self.look(address)
        for bucket in self._of_account(account, address):
            self._check(bucket, take=True)

    def succeeded(self, account: str, address: str | None) -> None:
        """Count a try that `begin` counted no more."""
        for bucket in self._of_account(account, address):
            self._limits.give_back(bucket)

    def look(self, address: str | None) -> None:
        """Check that not too many tries failed.

        Raises:
            Problem: 429, they did; says when to try again.
        """
        self._check(self._of_address(address), take=False)

    def failed(self, address: str | None) -> None:
        """Count a try that failed."""
        self._limits.take(self._of_address(address))

    def _of_account(self, account: str, address: str | None) -> tuple[Bucket, Bucket]:
        whose = hashlib.sha256(account.encode("utf-8", "surrogatepass")).hexdigest()[:32]
        here = f"log_ins:{whose}:{site_of(address or '')}"
        return (here, self._here), (f"log_ins_everywhere:{whose}", self._everywhere)

    def _of_address(self, address: str | None) -> Bucket:
        return f"log_ins_address:{site_of(address or '')}", self._address

    def _check(self, bucket: Bucket, *, take: bool) -> None:
        verdict = self._limits.take(bucket) if take else self._limits.look(bucket)
        if not verdict.allowed:
            self._limits.refused(bucket)
            raise _too_many(verdict)


def _too_many(verdict: Verdict) -> Problem:
    seconds = max(1, math.ceil(verdict.retry_after))
    detail = f"too many tries to log in; try again in {seconds} seconds"
    return Problem(status.HTTP_429_TOO_MANY_REQUESTS, "too_many_log_ins", detail, headers={"Retry-After": str(seconds)})
