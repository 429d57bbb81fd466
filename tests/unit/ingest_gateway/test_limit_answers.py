"""What answers say of limits."""

import pytest

from ingest_gateway.access.buckets import Limit, Verdict
from ingest_gateway.access.limit_answers import headers_of, too_many

KEY = Limit("key", 6_000, 10)
ORGANIZATION = Limit("organization", 90, 10)


def test_headers_name_each_policy_and_what_is_left_of_it() -> None:
    verdicts = [Verdict(KEY, allowed=True, debt=0.01), Verdict(ORGANIZATION, allowed=True, debt=4.0)]
    assert headers_of(verdicts) == {
        "RateLimit-Policy": '"key";q=1000;w=10, "organization";q=15;w=10',
        "RateLimit": '"key";r=999;t=1, "organization";r=9;t=4',
    }


def test_without_limits_there_are_no_headers() -> None:
    assert headers_of([]) == {}


@pytest.mark.parametrize(("debt", "seconds"), [(10.0, "1"), (10.2, "1"), (12.5, "4")])
def test_a_refusal_says_after_how_many_whole_seconds_to_come_again(debt: float, seconds: str) -> None:
    problem = too_many(Verdict(ORGANIZATION, allowed=False, debt=debt))
    assert problem.status_code == 429
    assert problem.headers == {"Retry-After": seconds}
    assert problem.more == {"violated_policies": ["organization"]}
    assert "90 a minute" in problem.detail
