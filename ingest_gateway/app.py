"""The web application: routes, errors, and the edge around them."""

from importlib.metadata import version

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from ingest_gateway import errors_api, pages, problems, record_types_api, uploads_api
from ingest_gateway.edge import Edge
from ingest_gateway.gateway import Gateway

_DESCRIPTION = (
    "Takes in large files of records: every line becomes a row in a typed table, or a rejection that says what was"
    " wrong with which cell. Ask for an address, send the file there, confirm; then watch it and read its errors."
)


def make_app(gateway: Gateway) -> FastAPI:
    """The application that serves this gateway."""
    app = FastAPI(
        title="rowstream", version=version("rowstream"), description=_DESCRIPTION, docs_url=None, redoc_url=None
    )
    app.state.gateway = gateway
    problems.install(app)
    app.add_middleware(Edge)
    for router in (uploads_api.router, errors_api.router, record_types_api.router, pages.router):
        app.include_router(router)
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
        for unused in ("HTTPValidationError", "ValidationError"):
            schemas.pop(unused, None)
        app.openapi_schema = schema
    return app.openapi_schema
