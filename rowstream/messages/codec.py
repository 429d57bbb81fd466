"""Avro's single-object encoding: two marker bytes, the writer schema's fingerprint, the body.

A message class is a frozen dataclass whose fields are those of the schema that `SCHEMA` names (a file in `schemas/`),
in order. A reader that meets a fingerprint it does not know asks a `SchemaStore` for the writer's schema, so old and
new services understand each other while a schema changes compatibly.

Source: Avro specification, "Single-object encoding" and "Schema fingerprints".
"""

import importlib.resources
import io
import json
from dataclasses import fields
from functools import cache
from typing import Any, ClassVar, NamedTuple, Protocol, TypeVar, cast

import fastavro
import fastavro.schema

from rowstream.errors import Poison, Retryable

MARKER = b"\xc3\x01"
_HEADER_BYTES = 10
Schema = dict[str, Any]


class Message(Protocol):
    """A frozen dataclass with the name of its schema."""

    SCHEMA: ClassVar[str]
    __dataclass_fields__: ClassVar[dict[str, Any]]


M = TypeVar("M", bound=Message)


class SchemaStore(Protocol):
    """Where services write their schemas when they start (`message_schemas`)."""

    def find(self, fingerprint: bytes) -> Schema | None:
        """The schema with this fingerprint (8 bytes), or None if nobody has written it yet."""
        ...


class UnknownSchema(Retryable):
    """The writer's schema is not known yet; a service that just started may be writing it.

    Attributes:
        fingerprint: The schema's, 8 bytes.
    """

    def __init__(self, name: str, fingerprint: bytes) -> None:
        super().__init__(f"a {name} was written with schema {fingerprint.hex()}, which no service has registered")
        self.fingerprint = fingerprint


class Contract(NamedTuple):
    """One schema, parsed, with its fingerprint (CRC-64-AVRO, 8 bytes, little-endian)."""

    name: str
    schema: Schema
    parsed: Schema
    fingerprint: bytes


def fingerprint(schema: Schema) -> bytes:
    """The CRC-64-AVRO fingerprint of a schema's canonical form: 8 bytes, little-endian."""
    canonical = fastavro.schema.to_parsing_canonical_form(schema)
    return bytes.fromhex(fastavro.schema.fingerprint(canonical, "CRC-64-AVRO"))


@cache
def contract(name: str) -> Contract:
    """The contract in `schemas/<name>.avsc`."""
    source = importlib.resources.files("schemas").joinpath(f"{name}.avsc").read_text(encoding="utf-8")
    schema = json.loads(source)
    parsed = _parse(json.loads(source))
    return Contract(name, schema, parsed, fingerprint(schema))


def contracts() -> list[Contract]:
    """Every contract there is, by name."""
    files = importlib.resources.files("schemas").iterdir()
    return [contract(name[: -len(".avsc")]) for name in sorted(f.name for f in files) if name.endswith(".avsc")]


def encode(message: Message) -> bytes:
    """The message in single-object encoding."""
    ours = contract(message.SCHEMA)
    body = io.BytesIO()
    body.write(MARKER + ours.fingerprint)
    values = {name: getattr(message, name) for name in _names(type(message))}
    fastavro.schemaless_writer(body, ours.parsed, values)
    return body.getvalue()


def decode(data: bytes, kind: type[M], store: SchemaStore | None = None) -> M:
    """Read a message of the given kind.

    Raises:
        Poison: these bytes are not a message of this kind.
        UnknownSchema: the writer's schema is in no store yet; try again in a while.
    """
    ours = contract(kind.SCHEMA)
    if data[:2] != MARKER or len(data) < _HEADER_BYTES:
        raise Poison(f"not a {kind.SCHEMA}: the bytes do not begin as Avro's single-object encoding does")
    written = data[2:_HEADER_BYTES]
    writer = ours.parsed if written == ours.fingerprint else _writer_schema(written, kind.SCHEMA, store)
    try:
        values = fastavro.schemaless_reader(io.BytesIO(data[_HEADER_BYTES:]), writer, ours.parsed)
        return kind(**cast("dict[str, Any]", values))
    except Exception as error:
        # fastavro says by many types that bytes do not follow a schema (EOFError, ValueError, IndexError, ...).
        raise Poison(f"not a readable {kind.SCHEMA}: {type(error).__name__}") from error


@cache
def _names(kind: type[Message]) -> tuple[str, ...]:
    return tuple(field.name for field in fields(kind))


def _writer_schema(written: bytes, name: str, store: SchemaStore | None) -> Schema:
    schema = store.find(written) if store else None
    if schema is None:
        raise UnknownSchema(name, written)
    if schema.get("name", "").rpartition(".")[2] != name:
        raise Poison(f"expected a {name}, got a message with the schema of {schema.get('name')}")
    return _parse(schema)


def _parse(schema: Schema) -> Schema:
    return cast("Schema", fastavro.parse_schema(schema))
