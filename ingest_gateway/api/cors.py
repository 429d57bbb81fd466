"""Which pages of other origins may use the API in a browser (CORS): those that a setting names, none by default."""

from collections.abc import Callable, Sequence

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
REQUEST_HEADERS = ("Authorization", "Content-Type", "Idempotency-Key", "X-Correlation-ID", "traceparent")
ANSWER_HEADERS = (
    "Deprecation",
    "Link",
    "Location",
    "RateLimit",
    "RateLimit-Policy",
    "Retry-After",
    "Sunset",
    "X-Correlation-ID",
)
_REMEMBERED_SECONDS = 600


def cors(origins: Sequence[str]) -> Callable[[ASGIApp], ASGIApp]:
    """What lets pages of these origins read an application's answers.

    Credentials travel in the header `Authorization`, which a page sets itself, and never in a cookie: so a page can
    only do what it was given a key or a token for.
    """
    if not origins:
        return lambda app: app

    def around(app: ASGIApp) -> ASGIApp:
        return CORSMiddleware(
            app,
            allow_origins=origins,
            allow_methods=METHODS,
            allow_headers=REQUEST_HEADERS,
            expose_headers=ANSWER_HEADERS,
            max_age=_REMEMBERED_SECONDS,
        )

    return around
