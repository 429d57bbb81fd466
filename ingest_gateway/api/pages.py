"""What the gateway answers beside its API: probes, metrics, and where to find things."""

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse

from ingest_gateway.api.asyncapi import asyncapi
from ingest_gateway.api.docs_page import POLICY, docs_page, index_page
from ingest_gateway.gateway import TheGateway
from rowstream.runtime.service import probe

router = APIRouter(include_in_schema=False)

LINKS = {
    "/docs": "how to use the API",
    "/openapi.json": "the same for programs (OpenAPI)",
    "/asyncapi.json": "the topics and messages, for programs (AsyncAPI)",
    "/healthz": "whether the service is alive",
    "/readyz": "whether it can work, and if not, what it waits for",
    "/metrics": "numbers for Prometheus",
}


@router.get("/healthz")
@router.get("/readyz")
@router.get("/metrics")
async def probes(request: Request, gateway: TheGateway) -> Response:
    """The three paths that every service answers."""
    answer = probe(request.url.path, gateway.health)
    code, media_type, body = answer or (404, "text/plain", b"")
    return Response(body, code, media_type=media_type)


@router.get("/")
def index(request: Request) -> Response:
    """Where to find things: HTML for browsers, JSON for programs."""
    if "text/html" in request.headers.get("accept", ""):
        return HTMLResponse(index_page("rowstream", LINKS), headers={"Content-Security-Policy": POLICY})
    return JSONResponse({"name": "rowstream", "links": LINKS})


@router.get("/asyncapi.json")
def topics_and_messages() -> JSONResponse:
    """The topics and messages, for programs."""
    return JSONResponse(asyncapi())


@router.get("/docs")
def docs(request: Request) -> Response:
    """The operations of the API, for people."""
    app: FastAPI = request.app
    return HTMLResponse(docs_page(app.openapi()), headers={"Content-Security-Policy": POLICY})
