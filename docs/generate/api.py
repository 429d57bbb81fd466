"""The page of the HTTP API, from the gateway's own OpenAPI description."""

from collections.abc import Iterator
from typing import Final

from docs.generate.json_schemas import Json, bodies, link, type_of
from docs.generate.markdown import code, document, fenced, prose, table
from docs.generate.problems import problems
from ingest_gateway.api.app import make_app
from ingest_gateway.gateway import open_gateway
from ingest_gateway.settings import GatewaySettings
from rowstream.runtime.health import Health

_FIRST_ERROR: Final = 400
_BODIES: Final = {
    "PresignRequest": '{"record_type": "member_certification", "filename": "members.csv", "size_bytes": 3270}',
    "CancelRequest": '{"undo": true}',
    "ConfirmRequest": '{"upload_id": "\'$ID\'"}',
}
_QUERIES: Final = {
    "/api/v1/batch_uploads/{upload_id}/errors": "?format=csv",
    "/api/v1/batch_uploads": "?status=completed",
}


def page() -> str:
    """Every operation and every body."""
    openapi = description()
    return document(
        "The HTTP API",
        "the gateway's OpenAPI description",
        openapi["info"]["description"],
        "A running gateway serves this as `/openapi.json`, and as a page at `/docs`.",
        "Every operation needs an API key: `Authorization: Bearer KEY`. `rowstream up` makes one and keeps it in the "
        "state folder's file `api_key`. In the examples `$URL` is the gateway's address, `$KEY` the key `$ID` an "
        "upload's id and `$LETTER` a dead letter's.",
        "Errors are `application/problem+json` (RFC 9457). Their `type`, `urn:rowstream:problem:...`, is stable; "
        "their texts are for people. Every answer has an `X-Correlation-ID`: the caller's own, if it sent one, or a "
        "new one. It is in the logs of every service that works on the upload.",
        *_operations(openapi),
        "## Errors",
        problems(),
        "## Bodies",
        *bodies(openapi),
    )


def description() -> Json:
    """The description, from an application that is made but serves nobody: nothing connects before it is used."""
    gateway = open_gateway(GatewaySettings(), Health())
    try:
        return make_app(gateway).openapi()
    finally:
        gateway.close()


def _operations(openapi: Json) -> Iterator[str]:
    for path, methods in openapi["paths"].items():
        for method, operation in methods.items():
            yield f"## {method.upper()} {path}"
            yield f"**{operation['summary']}.** {prose(operation['description'])}"
            yield fenced(_curl(method, path, operation), "sh")
            yield table(["parameter", "in", "type", "meaning"], map(_parameter, operation.get("parameters", ())))
            yield from _body(operation)
            yield table(["status", "body", "when"], _answers(operation))
            yield f"[Errors](#errors): {', '.join(_errors(operation))}."


def _curl(method: str, path: str, operation: Json) -> str:
    address = path.replace("{upload_id}", "$ID").replace("{dead_letter_id}", "$LETTER")
    query = _QUERIES.get(path, "") if method == "get" else ""
    schema = _body_schema(operation)
    verb = "" if method == "get" or schema else f"-X {method.upper()} "
    lines = [f'curl {verb}"$URL{address}{query}" -H "Authorization: Bearer $KEY"']
    if schema:
        lines[0] += " \\"
        lines += ["  -H 'Content-Type: application/json' \\", f"  -d '{_BODIES[schema]}'"]
    return "\n".join(lines)


def _parameter(parameter: Json) -> tuple[str, str, str, str]:
    name = "Idempotency-Key" if parameter["name"] == "idempotency-key" else parameter["name"]
    text = parameter.get("description", "required" if parameter.get("required") else "")
    return code(name), parameter["in"], type_of(_present(parameter["schema"])), text


def _present(schema: Json) -> Json:
    """What a parameter is when it is there."""
    options = [option for option in schema.get("anyOf", ()) if option.get("type") != "null"]
    return options[0] if options else schema


def _body(operation: Json) -> Iterator[str]:
    if schema := _body_schema(operation):
        yield f"Body: {link(schema)}."


def _body_schema(operation: Json) -> str:
    content = operation.get("requestBody", {}).get("content", {})
    return str(content["application/json"]["schema"]["$ref"]).rpartition("/")[2] if content else ""


def _answers(operation: Json) -> Iterator[tuple[str, str, str]]:
    for status, answer in sorted(operation["responses"].items()):
        if int(status) >= _FIRST_ERROR:
            continue
        bodies = [
            type_of(what["schema"]) if what.get("schema") else code(media) for media, what in answer["content"].items()
        ]
        yield status, ", ".join(bodies), answer["description"].replace("Successful Response", "Done")


def _errors(operation: Json) -> list[str]:
    return [status for status in sorted(operation["responses"]) if int(status) >= _FIRST_ERROR]
