"""The two roots under which everything about uploads is served alike: one for people, one for systems."""

from collections.abc import Callable
from types import MappingProxyType
from typing import Any, TypeVar

from fastapi import APIRouter, Request
from fastapi.routing import APIRoute

from ingest_gateway.access.caller import way_of

F = TypeVar("F", bound=Callable[..., Any])

_UPLOADS = "/batch_uploads"
ROOTS = MappingProxyType({"api": f"/api/v1{_UPLOADS}", "ui": f"/staff{_UPLOADS}"})
"""Where uploads are, by the way in."""


def uploads_root(request: Request) -> str:
    """Where the uploads are for whoever made this request."""
    return ROOTS[way_of(request.url.path)]


class BothWays:
    """Operations on uploads under both roots; `routers` are to be included by the application.

    Args:
        tag: what the operations are about; those for people have a tag of their own.
        route_class: of the operations.
    """

    def __init__(self, tag: str, *, route_class: type[APIRoute] = APIRoute) -> None:
        self.routers = tuple(
            APIRouter(prefix=root, tags=[tag if way == "api" else f"{tag} (staff)"], route_class=route_class)
            for way, root in ROOTS.items()
        )

    def get(self, path: str, **options: Any) -> Callable[[F], F]:
        """Make a function the operation GET of this path under both roots; options as of `APIRouter.get`."""
        return self._operation("GET", path, options)

    def post(self, path: str, **options: Any) -> Callable[[F], F]:
        """Make a function the operation POST of this path under both roots; options as of `APIRouter.post`."""
        return self._operation("POST", path, options)

    def _operation(self, method: str, path: str, options: dict[str, Any]) -> Callable[[F], F]:
        def register(function: F) -> F:
            for router in self.routers:
                router.add_api_route(path, function, methods=[method], **options)
            return function

        return register
