"""The kinds of error that the API answers with, found in the gateway's source."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from docs.generate.markdown import code, table

_GATEWAY: Final = Path(__file__).resolve().parents[2] / "ingest_gateway"
_MEANINGS: Final = {
    "not_json": "the body cannot be read as JSON",
    "unauthorized": "no API key or access token, or one that is unknown, expired or revoked",
    "forbidden": "the key or the person may not do this; `missing` says what it takes",
    "for_people_only": "a key asked, and this is for people who are logged in",
    "more_than_own": "nobody gives to others, or takes from them, what they may not do themselves",
    "wrong_credentials": "the e-mail address or the password is wrong, whichever it is",
    "wrong_password": "the current password is another one",
    "unfit_password": "the new password is too short, too long or too well known",
    "password_changed_meanwhile": "somebody else changed the password at the same moment",
    "too_many_log_ins": "too many tries to log in; `Retry-After` says when to try again",
    "log_in_failed": "the log-in by the provider did not succeed",
    "not_invited": "the provider knows the person, but no organization has them as a member",
    "no_provider": "no OpenID Connect provider is set up",
    "provider_unavailable": "the OpenID Connect provider does not answer",
    "invalid_refresh_token": "the refresh token is unknown, was used before, or its session has ended",
    "no_secrets_file": "nobody can log in and no secret be sealed, since the gateway has no secrets file",
    "no_membership": "the person is not in this organization, or in none",
    "organization_not_named": "the person is in several organizations, and named none of them",
    "already_a_member": "the person is a member already",
    "last_owner": "an organization keeps at least one owner",
    "name_taken": "another organization has this name",
    "key_not_rotatable": "the key has ended, or was rotated before",
    "no_such_key": "no key of this organization has that id",
    "no_such_member": "no member of this organization has that id",
    "no_such_object": "there is no such object in the bucket",
    "no_such_part": "the file has fewer parts",
    "no_such_upload": "no upload of this organization has that id",
    "no_such_dead_letter": "no dead letter of this organization has that id",
    "not_in_this_state": "the upload's state does not allow it; `upload_status` is that state, `detail` the way out",
    "no_such_path": "nothing is at this path",
    "method_not_allowed": "the path does not take this method",
    "file_not_there": "the file has not been sent yet",
    "size_differs": "the stored file has not the size that was announced",
    "upload_not_waiting": "the Idempotency-Key is that of an upload that was confirmed or given up meanwhile",
    "upload_given_up": "the upload was given up: its file did not come in time, or whoever began it ended it",
    "too_many_requests": "a limit on requests; `violated_policies` names it, `Retry-After` says when to try again",
    "too_many_open_uploads": "the organization's quota of uploads that have not ended",
    "records_quota_used_up": "the organization's quota of records in 24 hours; `Retry-After` says when to try again",
    "over_quota": "an event names an object that a quota keeps out for now; `Retry-After` says when to send it again",
    "busy": "as much of this is being done as may be at a time; try again in a few seconds",
    "request_running": "the first request with this Idempotency-Key is still running",
    "answer_unreadable": "the first request was done, but its answer is sealed with secrets that are gone",
    "length_said_twice": "the request has both `Content-Length` and `Transfer-Encoding`; the connection ends",
    "target_too_long": "the path and the query are too long",
    "body_too_slow": "the request's body did not come in time",
    "body_cut": "the request's body broke off",
    "body_incomplete": "the request's body broke off; nothing of the file was taken",
    "digest_differs": "the body is not the one that `Content-Digest` announces",
    "digest_unreadable": "the header `Content-Digest` cannot be read",
    "header_said_twice": "a header that may be there once comes more than once",
    "body_encoded": "the body has a Content-Encoding; it is taken as it is",
    "head_too_large": "the request's head is too large",
    "not_http": "what came is no request of HTTP/1.1 that can be read; the connection ends",
    "not_a_form": "the form cannot be read, or has not one file in it",
    "not_a_table_of_text": "the file is no text, whatever its name says; `detail` says what it looks like",
    "object_not_taken": "the object may not be taken: its bucket or key is not allowed, or it is another one",
    "no_s3_event": "the body is no event of an object store",
    "not_of_sns": "the message is not signed by SNS, or not of a topic that is allowed",
    "not_in_parts": "the file of this upload is not sent in parts",
    "parts_gone": "the parts are not in the object store any more",
    "parts_missing": "parts are missing or have another size; `missing` lists the first of them",
    "too_many_parts": "so small parts would be too many",
    "body_too_large": "the request's body is too large; a file goes to the presigned URL",
    "file_too_large": "the file is larger than the gateway takes",
    "idempotency_key_reused": "the Idempotency-Key was used before, for another file or request",
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
    for path in sorted(_GATEWAY.rglob("*.py")):
        found.update(_kinds(ast.parse(path.read_text(encoding="utf-8"))))
    if missing := _MEANINGS.keys() - found:
        raise ValueError(f"no status stands beside these kinds in the gateway's code, or nothing answers so: {missing}")
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
