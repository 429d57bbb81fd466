"""The web application: routes, errors, and the edge around them."""

from collections.abc import Mapping
from functools import partial
from importlib.metadata import version

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from ingest_gateway import problems
from ingest_gateway.access.digests import Digests
from ingest_gateway.access.limits import PART, Limits
from ingest_gateway.access.log_in import open_entrance
from ingest_gateway.api import (
    acts,
    content,
    control,
    dead_letters,
    errors,
    events,
    keys,
    members,
    multipart,
    oidc,
    organization,
    pages,
    record_types,
    reference,
    sessions,
    uploads,
)
from ingest_gateway.api.edge import Edge
from ingest_gateway.api.sunset import RETIREMENTS, Retirement
from ingest_gateway.gateway import Gateway
from ingest_gateway.sns import Sns
from ingest_gateway.sources import SourcesFile

_ROUTERS = (
    *uploads.routers,
    *content.routers,
    *multipart.routers,
    *reference.routers,
    *control.routers,
    *errors.routers,
    dead_letters.router,
    record_types.router,
    organization.router,
    members.router,
    keys.router,
    *acts.routers,
    sessions.router,
    oidc.router,
    events.router,
    pages.router,
)
_DESCRIPTION = (
    "Takes in large files of records: every line becomes a row in a typed table, or a rejection that says what was"
    " wrong with which cell. Ask for an address, send the file there, confirm; then watch it and read its errors."
)


def make_app(gateway: Gateway, retirements: Mapping[str, Retirement] = RETIREMENTS) -> FastAPI:
    """The application that serves this gateway.

    Raises:
        Fatal: a setting cannot be used; names it.
    """
    app = FastAPI(
        title="rowstream", version=version("rowstream"), description=_DESCRIPTION, docs_url=None, redoc_url=None
    )
    app.state.gateway = gateway
    app.state.content_turns = content.Turns(gateway.settings.sending.content_at_once)
    app.state.limits = limits = Limits(gateway.settings.limits, partial(gateway.health.degraded, PART))
    app.state.entrance = open_entrance(gateway, limits)
    app.state.sources = SourcesFile(gateway.settings.gateway.sources_file)
    app.state.sns = Sns(gateway.settings.gateway.allowed_sns_topics)
    for router in _ROUTERS:
        app.include_router(router)
    problems.install(app, [*app.routes, *(route for router in _ROUTERS for route in router.routes)])
    app.add_middleware(Digests)
    large_bodies = dict.fromkeys(content.PATHS, content.most_bytes(gateway.settings.sending))
    app.add_middleware(
        Edge, http=gateway.settings.http, limits=limits, retirements=retirements, large_bodies=large_bodies
    )
    app.openapi = lambda: _openapi(app)  # type: ignore[method-assign]
    return app


def _openapi(app: FastAPI) -> dict[str, object]:
    """The description, with the errors' body among the schemas that operations refer to."""
    if app.openapi_schema is None:
        schema = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
        body = problems.ProblemBody.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas = schema["components"]["schemas"]
        schemas.update(body.pop("$defs", {}))
        schemas[problems.ProblemBody.__name__] = body
        # The framework's own body for 422, which this application never answers.
        for unused in ("HTTPValidationError", "ValidationError"):
            schemas.pop(unused, None)
        for operation in (operation for methods in schema["paths"].values() for operation in methods.values()):
            if "application/json" in operation["responses"].get("422", {}).get("content", {}):
                del operation["responses"]["422"]
            # What the edge answers to any request, and to any that has a body.
            at_the_edge = problems.responses(*((400, 408, 413, 415, 429) if "requestBody" in operation else (429,)))
            for code, answer in at_the_edge.items():
                operation["responses"].setdefault(str(code), answer)
        app.openapi_schema = schema
    return app.openapi_schema
