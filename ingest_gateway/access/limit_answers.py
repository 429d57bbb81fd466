"""How limits show in answers: the headers that say how much is left, and the refusal. Pure functions."""

import math
from collections.abc import Sequence
from types import MappingProxyType

from starlette import status

from ingest_gateway.access.buckets import Verdict
from ingest_gateway.problems import Problem

_WHOSE = MappingProxyType(
    {
        "address": "your address",
        "key": "this key",
        "user": "you",
        "organization": "the keys and people of your organization together",
    }
)
_SLACK = 1e-6  # of sums of floating point


def headers_of(verdicts: Sequence[Verdict]) -> dict[str, str]:
    """`RateLimit-Policy` and `RateLimit` as draft-ietf-httpapi-ratelimit-headers has them; nothing for no limits.

    A policy is the bucket's capacity (`q`) in the seconds that it takes to fill (`w`): who keeps to it is never
    refused. `r` are the tokens left, `t` the seconds until the bucket is full again.
    """
    if not verdicts:
        return {}
    policies = (f'"{one.limit.name}";q={one.limit.capacity};w={_up(one.limit.window)}' for one in verdicts)
    left = (f'"{one.limit.name}";r={one.remaining};t={_up(one.debt)}' for one in verdicts)
    return {"RateLimit-Policy": ", ".join(policies), "RateLimit": ", ".join(left)}


def too_many(verdict: Verdict) -> Problem:
    """429, with the seconds after which there is a token again."""
    limit, seconds = verdict.limit, max(1, _up(verdict.retry_after))
    detail = (
        f"too many requests: {_WHOSE.get(limit.name, limit.name)} may make {limit.per_minute} a minute,"
        f" {limit.capacity} of them at once; try again in {seconds} seconds"
    )
    headers, policies = {"Retry-After": str(seconds)}, [limit.name]
    return Problem(
        status.HTTP_429_TOO_MANY_REQUESTS, "too_many_requests", detail, headers=headers, violated_policies=policies
    )


def _up(seconds: float) -> int:
    return math.ceil(seconds - _SLACK)
