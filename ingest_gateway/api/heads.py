"""What is refused by a request's head alone, before anything is done for it. Pure.

Sources: RFC 9112, section 6.1 (two lengths of one body), and section 3 (how long a request's target may be).
"""

from typing import Any

from starlette import status
from starlette.datastructures import Headers

from ingest_gateway.problems import Problem

MAX_TARGET_BYTES = 8 * 1024


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
    return None
