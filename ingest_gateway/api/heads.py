"""What is refused by a request's head alone, before anything is done for it. Pure.

Sources: RFC 9112, section 6.1 (two lengths of one body), and section 3 (how long a request's target may be); RFC 9110,
section 5.3 (a field that comes twice) and section 8.4 (a body that is encoded).
"""

from typing import Any

from starlette import status
from starlette.datastructures import Headers

from ingest_gateway.problems import Problem

MAX_TARGET_BYTES = 8 * 1024
MAX_HEAD_BYTES = 32 * 1024
_ONCE = ("authorization", "idempotency-key", "content-type")


def fault_of(scope: Any, headers: Headers) -> Problem | None:
    """Why a request with such a head is refused; None if it is not.

    Two who read such a request may disagree about where its body ends, and so about where the next one begins: the
    connection ends with the answer.
    """
    if "content-length" in headers and "transfer-encoding" in headers:
        detail = "the request says twice how long its body is; send Content-Length or Transfer-Encoding, not both"
        return Problem(status.HTTP_400_BAD_REQUEST, "length_said_twice", detail, headers={"Connection": "close"})
    if len(scope.get("raw_path") or b"") + len(scope["query_string"]) > MAX_TARGET_BYTES:
        detail = f"the path and the query have more than {MAX_TARGET_BYTES} bytes; shorten them"
        return Problem(status.HTTP_414_URI_TOO_LONG, "target_too_long", detail)
    if sum(len(name) + len(value) for name, value in scope["headers"]) > MAX_HEAD_BYTES:
        return head_too_large()
    for name in _ONCE:
        if len(headers.getlist(name)) > 1:
            detail = f"the header {name.title()} comes more than once, and others may believe the other one; send one"
            return Problem(status.HTTP_400_BAD_REQUEST, "header_said_twice", detail)
    if headers.get("content-encoding", "identity").strip().lower() not in {"", "identity"}:
        detail = "the body is sent with a Content-Encoding; send it as it is, without one"
        return Problem(status.HTTP_415_UNSUPPORTED_MEDIA_TYPE, "body_encoded", detail)
    return None


def head_too_large() -> Problem:
    """431; the server itself refuses a head that goes on for longer than it waits for its end."""
    detail = f"the request's headers have more than {MAX_HEAD_BYTES} bytes; send fewer and shorter ones"
    return Problem(status.HTTP_431_REQUEST_HEADER_FIELDS_TOO_LARGE, "head_too_large", detail)
