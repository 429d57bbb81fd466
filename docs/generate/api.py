"""The page of the HTTP API, from the gateway's own OpenAPI description."""

import re
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
_PARAMETER: Final = re.compile(r"\{(\w+)\}")
_BODIES: Final = {
    "PresignRequest": '{"record_type": "member_certification", "filename": "members.csv", "size_bytes": 3270}',
    "CancelRequest": '{"undo": true}',
    "ConfirmRequest": '{"upload_id": "\'$ID\'"}',
    "PartsRequest": '{"record_type": "member_certification", "filename": "members.csv", "size_bytes": 50000000000}',
    "SignRequest": '{"numbers": [1, 2, 3]}',
    "ReferenceRequest": '{"record_type": "member_certification", "bucket": "exports", "key": "2027/members.csv"}',
    "OrganizationChange": '{"duplicate_policy": "refuse"}',
    "Invitation": '{"email": "ada@example.org", "role": "operator"}',
    "RoleChange": '{"role": "viewer"}',
    "KeyRequest": '{"name": "nightly export", "scopes": ["uploads:read", "uploads:write"]}',
    "RotateRequest": '{"overlap_seconds": 86400}',
    "LogInRequest": '{"email": "ada@example.org", "password": "\'$PASSWORD\'"}',
    "RefreshRequest": '{"refresh_token": "\'$REFRESH_TOKEN\'"}',
    "PasswordChange": '{"current_password": "\'$PASSWORD\'", "new_password": "\'$NEW_PASSWORD\'"}',
}
_FILES: Final = {"text/csv": "members.csv", "application/json": "event.json"}
_QUERIES: Final = {
    "get /api/v1/batch_uploads/{upload_id}/errors": "?format=csv",
    "get /api/v1/batch_uploads": "?status=completed",
    "post /api/v1/batch_uploads/content": "?record_type=member_certification&filename=members.csv",
}
_NAMES: Final = {"upload_id": "$ID", "dead_letter_id": "$LETTER", "key_id": "$KEY_ID", "user_id": "$USER_ID"}
_FOR_SYSTEMS, _FOR_PEOPLE = "/api/v1/batch_uploads", "/staff/batch_uploads"


def page() -> str:
    """Every operation and every body."""
    openapi = description()
    return document(
        "The HTTP API",
        "the gateway's OpenAPI description",
        openapi["info"]["description"],
        "A running gateway serves this as `/openapi.json`, and as a page at `/docs`.",
        "Most operations need an API key or a person's access token: `Authorization: Bearer KEY`, or a signed request. "
        "`rowstream up` makes a key and keeps it in the state folder's file `api_key`. What an operation needs its "
        "caller to be allowed stands beside it. In the examples `$URL` is the gateway's address, `$KEY` the key, `$ID` "
        "an upload's id and `$LETTER` a dead letter's.",
        f"All that is under `{_FOR_SYSTEMS}` is under `{_FOR_PEOPLE}` too, for people: uploads then came by `ui`.",
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
        if path.startswith(_FOR_PEOPLE) and path.replace(_FOR_PEOPLE, _FOR_SYSTEMS) in openapi["paths"]:
            continue
        for method, operation in methods.items():
            yield f"## {method.upper()} {path}"
            yield f"**{operation['summary']}.** {prose(operation['description'])}"
            yield _needs(operation)
            yield fenced(_curl(method, path, operation), "sh")
            yield table(["parameter", "in", "type", "meaning"], map(_parameter, operation.get("parameters", ())))
            yield from _body(operation)
            yield table(["status", "body", "when"], _answers(operation))
            yield f"[Errors](#errors): {', '.join(_errors(operation))}."


def _needs(operation: Json) -> str:
    """What the caller must be allowed; nothing where anybody may come."""
    scopes = {scope for way in operation.get("security", ()) for needed in way.values() for scope in needed}
    return f"Needs {', '.join(map(code, sorted(scopes)))}." if scopes else ""


def _curl(method: str, path: str, operation: Json) -> str:
    address = _PARAMETER.sub(lambda found: _NAMES[found[1]], path) + _QUERIES.get(f"{method} {path}", "")
    content = operation.get("requestBody", {}).get("content", {})
    schema, media = _body_schema(operation), next((one for one in _FILES if one in content), "")
    verb = "" if method == "get" or (content and method == "post") else f"-X {method.upper()} "
    lines = [f'curl {verb}"$URL{address}"']
    if operation.get("security"):
        lines[0] += ' -H "Authorization: Bearer $KEY"'
    if content:
        lines.append(f"  -H 'Content-Type: {media}'")
        lines.append(f"  -d '{_BODIES[schema]}'" if schema else f"  --data-binary @{_FILES[media]}")
    return " \\\n".join(lines)


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
    """The name of the schema of a body in JSON; nothing for other bodies, and for JSON of any form."""
    content = operation.get("requestBody", {}).get("content", {})
    return str(content.get("application/json", {}).get("schema", {}).get("$ref", "")).rpartition("/")[2]


def _answers(operation: Json) -> Iterator[tuple[str, str, str]]:
    for status, answer in sorted(operation["responses"].items()):
        if int(status) >= _FIRST_ERROR:
            continue
        bodies = [
            type_of(what["schema"]) if what.get("schema") else code(media)
            for media, what in answer.get("content", {}).items()
        ]
        yield status, ", ".join(bodies), answer["description"].replace("Successful Response", "Done")


def _errors(operation: Json) -> list[str]:
    return [status for status in sorted(operation["responses"]) if int(status) >= _FIRST_ERROR]
