"""The page of the database, from the declarations of its tables."""

from collections.abc import Iterator
from typing import Final

from sqlalchemy import CheckConstraint, Column, Table, UniqueConstraint
from sqlalchemy.dialects import postgresql

from docs.generate.markdown import bullets, code, document, one_line, table
from rowstream.database.catalogue import metadata

_PURPOSES: Final = {
    "organizations": "Who rowstream works for; everything else belongs to one of them. There is one named `default`.",
    "users": "People who log in. One person may be in several organizations.",
    "memberships": "Who is in which organization, and as what.",
    "api_keys": "Keys of the API; of each only its hash.",
    "refresh_tokens": "Sessions of people: each token is used once and followed by another; of each only its hash.",
    "request_nonces": "Numbers of signed requests that were seen; each is taken once, and forgotten in time.",
    "acts": "What people, keys and rowstream did: written with the deed, and changed by nobody afterwards.",
    "idempotency_keys": "Requests with an Idempotency-Key, and how they were answered; forgotten after a while.",
    "multipart_uploads": "Files that are sent in parts, or were.",
    "s3_objects_taken": "Objects that stores told of: the newest event that was heeded, and its upload.",
    "sftp_files": "Files on partners' servers: seen, taken, or left where they are, and why.",
    "batch_uploads": "One row an upload: where it came from, where it stands, what became of its records.",
    "batch_upload_audit_logs": (
        "What happened to an upload: one row for each chunk and attempt (`chunk_completed`), and one for each "
        "exceptional event. Never one a record."
    ),
    "batch_upload_errors": "One row a rejected record: every error, and the record as it came.",
    "held_records": "Records that wait for somebody's decision. Nothing writes here in this version.",
    "upload_splits": "One row an upload that is split: who holds it, by which plan, how far it is, how it ended.",
    "upload_lanes": "One row a lane of an upload: which chunk comes next.",
    "upload_control": "What a person last asked of an upload: run, pause, cancel, and whether its rows go out again.",
    "processed_chunks": "The ledger: one row a chunk, written in the transaction that writes its rows and rejections.",
    "chunk_attempts": "How often a chunk was tried alone, counted before each try; gone when it has its outcome.",
    "dead_letters": "Chunks that were given up on: why, and how often they were tried. One row an attempt.",
    "outbox": "Messages that are to be published; written in the transaction that does what they say.",
    "partitions_in_work": "The partitions that record processors work on; a row left behind says that one ended badly.",
    "message_schemas": "The Avro schemas that services write messages with.",
    "sending_hold": "While somebody holds it, splitters send nothing new.",
    "standstills": "Record types whose table cannot be used now: splitters keep their uploads from taking all slots.",
    "record_type_tables": "The table of each record type, as it was last migrated.",
}


def page() -> str:
    """Every table."""
    return document(
        "Tables",
        "rowstream/database/tables.py",
        "Times are the database's own, durations are measured by the writer's monotonic clock, ids are UUIDv7. Tables "
        "with `organization_id` have a row-level security policy. `rowstream migrate` makes and extends the tables, "
        "those of the [record types](record-types.md) too.",
        *(block for name in _PURPOSES for block in _table(metadata.tables[name])),
    )


def _table(one: Table) -> Iterator[str]:
    yield f"## {one.name}"
    yield _PURPOSES[one.name]
    yield table(["column", "type", "null", "default", "meaning"], map(_column, one.columns))
    yield bullets(_further(one))


def _column(column: Column[object]) -> tuple[str, str, str, str, str]:
    kind = column.type.compile(postgresql.dialect()).lower()  # type: ignore[no-untyped-call]
    default = str(getattr(column.server_default, "arg", "")) if column.server_default is not None else ""
    return code(column.name), kind, "yes" if column.nullable else "", code(default), column.comment or ""


def _further(one: Table) -> Iterator[str]:
    yield f"Primary key: {', '.join(code(column.name) for column in one.primary_key)}"
    for constraint in sorted(one.constraints, key=lambda found: str(found.name)):
        if isinstance(constraint, UniqueConstraint):
            yield f"Unique: {', '.join(code(column.name) for column in constraint.columns)}"
        elif isinstance(constraint, CheckConstraint):
            yield f"Check: {code(one_line(str(constraint.sqltext)))}"
    for index in sorted(one.indexes, key=lambda found: str(found.name)):
        parts = ", ".join(str(getattr(part, "name", part)) for part in index.expressions)
        only = index.dialect_options["postgresql"]["where"]
        where = "" if only is None else f" where {code(only)}"
        yield f"{'Unique index' if index.unique else 'Index'}: {code(parts)}{where}"
