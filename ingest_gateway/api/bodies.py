"""How large a request's body may be, and how slow.

A body is waited for as long as its size takes at the slowest rate that is allowed, and some seconds more: so neither a
body that never ends nor one that comes byte by byte holds anything for long, and a large one on a slow line passes.
"""

import asyncio
from collections.abc import Mapping

from starlette import status
from starlette.types import Message, Receive

from ingest_gateway.http_settings import GatewayHttp
from ingest_gateway.problems import Problem
from rowstream.runtime.metrics import REFUSED

MAX_BODY_BYTES = 64 * 1024


def announced(headers: Mapping[str, str]) -> int:
    """The size that the headers announce, in bytes; 0 if they announce none."""
    length = headers.get("content-length", "0")
    return int(length) if length.isascii() and length.isdigit() else 0


def limited(receive: Receive, most: int, settings: GatewayHttp) -> Receive:
    """A request's `receive` that passes `most` bytes of its body on, and does not wait for ever.

    It raises `Problem`: 413, the body is larger; 408, it comes too slowly.
    """
    begun = asyncio.get_running_loop().time()
    taken, ended = 0, False

    async def limited_receive() -> Message:
        nonlocal taken, ended
        if ended:
            return await receive()  # for whoever listens for the end of the connection
        try:
            async with asyncio.timeout_at(begun + settings.body_seconds + taken / settings.slowest_rate):
                message = await receive()
        except TimeoutError:
            raise too_slow() from None
        taken += len(message.get("body", b""))
        ended = not message.get("more_body", False)
        if taken > most:
            raise too_large(most)
        return message

    return limited_receive


def too_large(most: int) -> Problem:
    """413 for a body that is larger than `most` bytes."""
    REFUSED.labels("body_too_large").inc()
    detail = f"the body has more than {most} bytes; a file is sent to the presigned URL, not here"
    return Problem(status.HTTP_413_CONTENT_TOO_LARGE, "body_too_large", detail)


def too_slow() -> Problem:
    """408 for a body that does not come; the connection ends, as nobody knows where in it the next request begins."""
    REFUSED.labels("body_too_slow").inc()
    detail = "the body of the request did not come in time; send it again, at once"
    return Problem(status.HTTP_408_REQUEST_TIMEOUT, "body_too_slow", detail, headers={"Connection": "close"})
