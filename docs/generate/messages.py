"""The page of topics and messages, from the list of topics, the Avro schemas and the envelope."""

from collections.abc import Iterator
from typing import Any, Final

from docs.generate.markdown import code, document, table
from rowstream.ids import new_id
from rowstream.kafka.topics import topics_with
from rowstream.messages.codec import contracts
from rowstream.messages.envelope import Envelope, new_traceparent
from rowstream.messages.record_chunk import RecordChunk
from splitter.sender import accounting_headers

_TOPICS: Final = topics_with(["<type>"])
_HEADERS: Final = {
    "ce_specversion": "the version of CloudEvents: `1.0`",
    "ce_id": "names the event; the same when the same message is sent again",
    "ce_type": "what happened, such as `rowstream.upload_status`",
    "ce_source": "the service that says it",
    "ce_time": "when it was said, UTC",
    "ce_organization": "whose upload it is",
    "content-type": "`application/avro`",
    "traceparent": "W3C trace context: the trace of the request that began the upload",
    "correlation_id": "of the request that began the upload; it is in the logs",
}


def page() -> str:
    """Every topic, header and message."""
    return document(
        "Topics and messages",
        "rowstream/kafka/topics.py, rowstream/messages and schemas/",
        "Messages are Avro, single-object encoded: two marker bytes (`C3 01`), the schema's CRC-64-AVRO fingerprint "
        "(8 bytes, little-endian), the body. Services write their schemas to the table `message_schemas` when they "
        "start, so that a reader which meets a fingerprint it does not know can look it up. Schemas only change "
        "compatibly.",
        "## Topics",
        table(["topic", "partitions", "key", "carries", "configuration"], _topics()),
        "Only `rowstream topics --make` and `rowstream up` make topics. The number of partitions is the one that they "
        "are made with; copies are `ROWSTREAM_KAFKA__REPLICATION`, and with three or more of them "
        "`min.insync.replicas=2`.",
        "## Headers",
        "Every message that rowstream sends has them (CloudEvents 1.0, binary mode):",
        table(["header", "meaning"], ((code(name), _HEADERS[name]) for name in _envelope().headers())),
        f"A `RecordChunk` repeats in headers what is needed to account for one whose body cannot be read: "
        f"{', '.join(map(code, accounting_headers(_chunk())))}.",
        "A dead letter keeps its own headers and gets `__connect.errors.topic`, `__connect.errors.partition`, "
        "`__connect.errors.offset`, `__connect.errors.stage`, `__connect.errors.exception.class.name` and "
        "`__connect.errors.exception.message`.",
        *(block for contract in contracts() for block in _message(contract.schema)),
    )


def _topics() -> Iterator[tuple[str, str, str, str, str]]:
    for topic in _TOPICS:
        config = ", ".join(code(f"{name}={value}") for name, value in topic.config.items())
        yield code(topic.name), str(topic.partitions), topic.key, topic.carries, config


def _message(schema: dict[str, Any]) -> Iterator[str]:
    topics = [topic.name for topic in _TOPICS if schema["name"] in topic.carries.partition(":")[0].split(", ")]
    yield f"## {schema['name']}"
    yield f"{schema['doc']} On {', '.join(map(code, topics))}; schema in `schemas/{schema['name']}.avsc`."
    yield table(["field", "type", "default", "meaning"], _fields(schema))


def _fields(schema: dict[str, Any], inside: str = "") -> Iterator[tuple[str, str, str, str]]:
    for field in schema["fields"]:
        default = "" if "default" not in field else code("null" if field["default"] is None else field["default"])
        yield code(f"{inside}{field['name']}"), _type(field["type"]), default, field.get("doc", "")
        items = field["type"].get("items") if isinstance(field["type"], dict) else None
        if isinstance(items, dict):
            yield from _fields(items, f"{inside}{field['name']}[].")


def _type(kind: Any) -> str:
    if isinstance(kind, list):
        return " or ".join(map(_type, kind))
    if isinstance(kind, str):
        return code(kind)
    match kind["type"]:
        case "array":
            items = kind["items"]
            return f"list of {_type(items) if isinstance(items, str) else code(items['name'])}"
        case "map":
            return f"map of {_type(kind['values'])}"
        case "enum":
            return " or ".join(map(code, kind["symbols"]))
    return f"{code(kind['type'])} ({kind['logicalType']})"


def _envelope() -> Envelope:
    return Envelope.new(
        "example", source="docs", organization_id=new_id(), correlation_id="", traceparent=new_traceparent()
    )


def _chunk() -> RecordChunk:
    numbers = dict.fromkeys(("attempt", "epoch", "lane", "lane_seq", "chunk_number", "first_row", "last_row"), 0)
    return RecordChunk(
        upload_id=new_id(),
        organization_id=new_id(),
        record_type="",
        record_type_version=1,
        record_count=0,
        columns=[],
        records=b"",
        rejections=[],
        digest=b"",
        **numbers,
    )
