"""What every error of the API must be: a problem (RFC 9457), complete."""

from typing import Any

import httpx


def problem(answer: httpx.Response, status: int, kind: str) -> dict[str, Any]:
    """The body of an answer, which must be this problem and complete."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = answer.json()
    assert body["type"] == f"urn:rowstream:problem:{kind}"
    assert body["status"] == status
    assert body["title"]
    assert "json" not in body["title"], "read by people: JSON"
    assert body["detail"]
    assert body["instance"] == answer.request.url.path
    assert body["correlation_id"] == answer.headers["x-correlation-id"]
    return body
