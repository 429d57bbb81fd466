"""Every message's schema can be read by, and can read, each of its former versions; see `schemas/history`."""

import io
import json
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import fastavro
import pytest

from rowstream.messages import codec
from rowstream.messages.chunk_result import ChunkResult
from rowstream.messages.record_accepted import RecordAccepted
from rowstream.messages.record_chunk import RecordChunk
from rowstream.messages.upload_accepted import UploadAccepted
from rowstream.messages.upload_failed import UploadFailed
from rowstream.messages.upload_reply import UploadReply
from rowstream.messages.upload_request import UploadRequest
from rowstream.messages.upload_split import UploadSplit
from rowstream.messages.upload_status import UploadStatus

SCHEMAS = Path(__file__).parents[2] / "schemas"
MESSAGES = (
    ChunkResult,
    RecordAccepted,
    RecordChunk,
    UploadAccepted,
    UploadFailed,
    UploadReply,
    UploadRequest,
    UploadSplit,
    UploadStatus,
)
CURRENT = sorted(path.stem for path in SCHEMAS.glob("*.avsc"))


def versions(name: str) -> list[dict[str, Any]]:
    paths = sorted((SCHEMAS / "history" / name).glob("*.avsc"), key=lambda path: int(path.stem))
    assert [path.stem for path in paths] == [str(number) for number in range(1, len(paths) + 1)]
    return [json.loads(path.read_text()) for path in paths]


PAIRS = [(name, older, newer) for name in CURRENT for newer in range(len(versions(name))) for older in range(newer)]


def an_example(schema: Any) -> Any:
    """Some value of a schema, the same each time, with as many items as it takes to see a mix-up."""
    if isinstance(schema, list):
        return an_example(schema[-1])
    kind = schema["type"] if isinstance(schema, dict) else schema
    if isinstance(kind, (dict, list)):
        return an_example(kind)
    if kind == "record":
        return {field["name"]: an_example(field["type"]) for field in schema["fields"]}
    if kind in ("array", "map"):
        return [an_example(schema["items"])] * 2 if kind == "array" else {"a": an_example(schema["values"])}
    if kind == "enum":
        return schema["symbols"][-1]
    return {"string": "6f9619ff-8b86-d011-b42d-00c04fc964ff", "bytes": b"\x01", "int": 7, "long": 8, "null": None}[kind]


def rewritten(value: Any, writer: dict[str, Any], reader: dict[str, Any]) -> Any:
    body = io.BytesIO()
    fastavro.schemaless_writer(body, fastavro.parse_schema(writer), value)
    body.seek(0)
    return fastavro.schemaless_reader(body, fastavro.parse_schema(writer), fastavro.parse_schema(reader))


def faults(older: dict[str, Any], newer: dict[str, Any]) -> list[str]:
    """Why one of two versions of a record cannot read what the other wrote, as far as the rules of the house go."""
    before = {field["name"]: field for field in older["fields"]}
    after = {field["name"]: field for field in newer["fields"]}
    return [
        *(f"{name} is gone" for name in before if name not in after),
        *(f"{name} has no default" for name, field in after.items() if name not in before and "default" not in field),
        *(
            f"{name} has another type"
            for name, field in after.items()
            if name in before and bare(field["type"]) != bare(before[name]["type"])
        ),
    ]


def bare(schema: Any) -> Any:
    """A type without what is only said to people."""
    if isinstance(schema, dict):
        return {key: bare(value) for key, value in schema.items() if key != "doc"}
    return [bare(item) for item in schema] if isinstance(schema, list) else schema


def test_every_message_has_a_schema_and_a_history() -> None:
    assert sorted(kind.SCHEMA for kind in MESSAGES) == CURRENT == [contract.name for contract in codec.contracts()]
    assert {path.name for path in (SCHEMAS / "history").iterdir()} == set(CURRENT)
    assert len(PAIRS) > 0  # so that the tests below look at something


@pytest.mark.parametrize("name", CURRENT)
def test_the_current_schema_is_the_newest_of_its_history(name: str) -> None:
    newest = versions(name)[-1]
    current = json.loads((SCHEMAS / f"{name}.avsc").read_text())
    assert current == newest, f"schemas/{name}.avsc changed: add it to schemas/history/{name} as the next version"


@pytest.mark.parametrize("kind", MESSAGES, ids=lambda kind: kind.SCHEMA)
def test_a_message_class_has_the_fields_and_defaults_of_its_schema(kind: Any) -> None:
    schema = codec.contract(kind.SCHEMA).schema
    assert [field.name for field in fields(kind)] == [field["name"] for field in schema["fields"]]
    ours = {field.name: field.default for field in fields(kind) if field.default is not MISSING}
    assert ours == {field["name"]: field["default"] for field in schema["fields"] if "default" in field}


@pytest.mark.parametrize(("name", "older", "newer"), PAIRS)
def test_versions_read_each_other(name: str, older: int, newer: int) -> None:
    old, new = versions(name)[older], versions(name)[newer]
    assert faults(old, new) == []
    by_new = rewritten(an_example(old), old, new)
    assert by_new == rewritten(an_example(old), old, old) | {
        field["name"]: field["default"] for field in new["fields"] if field["name"] not in an_example(old)
    }
    by_old = rewritten(an_example(new), new, old)
    everything = rewritten(an_example(new), new, new)
    assert by_old == {field["name"]: everything[field["name"]] for field in old["fields"]}


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda fields: fields.append({"name": "more", "type": "string"}), "more has no default"),
        (lambda fields: fields.pop(), "duration_ms is gone"),
        (lambda fields: fields[2].update(type="string"), "attempt has another type"),
        (lambda fields: fields[0].update(name="upload"), "upload has no default"),
    ],
)
def test_a_change_that_is_not_compatible_is_found(change: Any, fault: str) -> None:
    before, after = versions("ChunkResult")[0], versions("ChunkResult")[0]
    change(after["fields"])
    assert fault in faults(before, after)
