"""The kinds of error that the API answers with, found in the gateway's source."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from docs.generate.markdown import code, table

_GATEWAY: Final = Path(__file__).resolve().parents[2] / "ingest_gateway"
_MEANINGS: Final = {
    "not_json": "the body cannot be read as JSON",
    "unauthorized": "no API key, or one that is unknown, expired or revoked",
    "no_such_upload": "no upload of this organization has that id",
    "no_such_dead_letter": "no dead letter of this organization has that id",
    "not_in_this_state": "the upload's state does not allow it; `upload_status` is that state, `detail` the way out",
    "no_such_path": "nothing is at this path",
    "method_not_allowed": "the path does not take this method",
    "file_not_there": "the file has not been sent yet",
    "size_differs": "the stored file has not the size that was announced",
    "upload_not_waiting": "the Idempotency-Key is that of an upload that was confirmed or given up meanwhile",
    "upload_given_up": "the upload was given up, since its file did not come in time",
    "body_too_large": "the request's body is too large; a file goes to the presigned URL",
    "file_too_large": "the file is larger than the gateway takes",
    "idempotency_key_reused": "the Idempotency-Key was used before, for another file",
    "invalid_cursor": "the cursor is none that this API gave",
    "invalid_idempotency_key": "the Idempotency-Key is not 1 to 255 visible ASCII characters",
    "invalid_request": "a part of the request is not as it should be; `errors` says which and why",
    "unknown_record_type": "no such record type is installed; `known_record_types` lists those that are",
    "internal_error": "a fault of rowstream's own; its log says more under the correlation id",
    "unavailable": "the database or the object store does not answer; try again, `Retry-After` says when",
}
_BY_THE_FRAMEWORK: Final = {"no_such_path": 404, "method_not_allowed": 405}
"""Kinds whose status is not written beside their name."""


def problems() -> str:
    """A table of all kinds, by status."""
    found = dict(_BY_THE_FRAMEWORK)
    for path in sorted(_GATEWAY.glob("*.py")):
        found.update(_kinds(ast.parse(path.read_text(encoding="utf-8"))))
    rows = sorted((status, kind) for kind, status in found.items())
    return table(["type", "status", "when"], ((_name(kind), str(status), _MEANINGS[kind]) for status, kind in rows))


def _kinds(source: ast.AST) -> Iterator[tuple[str, int]]:
    """Kind and status of each problem that is made with both side by side."""
    for node in ast.walk(source):
        if isinstance(node, ast.Call):
            for before, after in zip(node.args, node.args[1:], strict=False):
                match before, after:
                    case ast.Attribute(attr=name), ast.Constant(value=str(kind)) if name.startswith("HTTP_"):
                        yield kind, int(name.split("_")[1])


def _name(kind: str) -> str:
    return code(f"urn:rowstream:problem:{kind}")
