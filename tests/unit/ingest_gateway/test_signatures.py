"""What a signature must cover, and when it holds, as tables."""

from typing import Any

import pytest
from starlette.datastructures import Headers

from ingest_gateway.access.signatures import Refused, check_covered, check_time

NOW = 1_800_000_000.0
WHERE = ('"@method"', '"@target-uri"')
BODY = ('"content-digest"', '"content-type"')


@pytest.mark.parametrize(
    ("headers", "query", "covered", "missing"),
    [
        ({}, False, WHERE, None),
        ({}, True, WHERE, None),
        ({}, False, ('"@method"', '"@authority"', '"@path"'), None),
        ({}, True, ('"@method"', '"@authority"', '"@path"', '"@query"'), None),
        ({}, True, ('"@method"', '"@authority"', '"@path"'), "@query"),
        ({}, False, ('"@method"', '"@path"', '"@query"'), "@target-uri"),
        ({}, False, ('"@target-uri"',), "@method"),
        ({}, False, (), "@target-uri"),
        ({"content-length": "0"}, False, WHERE, None),
        ({"content-length": "1"}, False, (*WHERE, *BODY), None),
        ({"content-length": "1"}, False, WHERE, "content-digest"),
        ({"content-length": "00"}, False, WHERE, "content-digest"),
        ({"content-length": "1"}, False, (*WHERE, '"content-digest"'), "content-type"),
        ({"content-length": "1"}, False, (*WHERE, '"content-digest";req', '"content-type"'), "content-digest"),
        ({"transfer-encoding": "chunked"}, False, WHERE, "content-digest"),
        ({"idempotency-key": "1"}, False, WHERE, "idempotency-key"),
        ({"idempotency-key": "1"}, False, (*WHERE, '"idempotency-key"'), None),
    ],
)
def test_what_decides_what_a_request_does_is_covered(
    headers: dict[str, str],
    query: bool,  # noqa: FBT001 - a column of the table
    covered: tuple[str, ...],
    missing: str | None,
) -> None:
    if missing is None:
        check_covered(Headers(headers), has_query=query, covered=covered)
        return
    with pytest.raises(Refused, match=f'must cover .*"{missing}"'):
        check_covered(Headers(headers), has_query=query, covered=covered)


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"created": NOW}, None),
        ({"created": NOW - 300}, None),
        ({"created": NOW + 60}, None),
        ({"created": NOW, "expires": NOW + 1}, None),
        ({"created": NOW - 301}, "300 seconds"),
        ({"created": NOW + 61}, "300 seconds"),
        ({"created": 0}, "300 seconds"),
        ({"created": NOW, "expires": NOW - 1}, "expires"),
        ({}, "created"),
        ({"created": str(NOW)}, "created"),
    ],
)
def test_a_signature_holds_for_five_minutes(parameters: dict[str, Any], said: str | None) -> None:
    given = {name: int(value) if isinstance(value, float) else value for name, value in parameters.items()}
    if said is None:
        check_time(given, NOW)
        return
    with pytest.raises(Refused, match=said):
        check_time(given, NOW)
