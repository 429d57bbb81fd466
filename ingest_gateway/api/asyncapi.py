"""The description of the topics and messages (AsyncAPI 3), from the list of topics, the schemas and the envelope."""

import copy
from collections.abc import Iterator
from importlib.metadata import version
from typing import Any

from rowstream.ids import new_id
from rowstream.kafka.topics import DEAD_LETTERS, UPLOAD_REPLIES, UPLOAD_REQUESTS, UPLOAD_STATUS, Topic, topics_with
from rowstream.messages.codec import Contract, contracts
from rowstream.messages.envelope import CONTENT_TYPE, Envelope, new_traceparent

Json = dict[str, Any]

_PARAMETER = "record_type"
_AVRO = "application/vnd.apache.avro+json;version=1.9.0"
_BINDING = "0.5.0"
_PUT_ASIDE = "PutAside"
_FROM_OTHERS = frozenset({UPLOAD_REQUESTS})
_TO_OTHERS = frozenset({UPLOAD_REPLIES, UPLOAD_STATUS, DEAD_LETTERS})
_DESCRIPTION = (
    "What rowstream says and hears on Kafka. Messages are Avro in single-object encoding: two marker bytes (C3 01), the"
    " schema's CRC-64-AVRO fingerprint (8 bytes, little-endian), the body. Requests may be CloudEvents in JSON as well."
)


def asyncapi() -> Json:
    """The whole description, as JSON values; the same for every gateway of a version."""
    topics = topics_with([f"{{{_PARAMETER}}}"])
    known = {contract.name: contract for contract in contracts()}
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "rowstream",
            "version": version("rowstream"),
            "description": _DESCRIPTION,
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": CONTENT_TYPE,
        "channels": {_name(topic): _channel(topic, known) for topic in topics},
        "operations": dict(pair for topic in topics for pair in _operations(topic, known)),
        "components": {
            "messages": {
                **{name: _message(contract) for name, contract in known.items()},
                _PUT_ASIDE: {
                    "title": "A message that was put aside",
                    "summary": "It is as it came, with headers that say where it came from and why it was not taken.",
                    "contentType": "application/octet-stream",
                },
            }
        },
    }


def _name(topic: Topic) -> str:
    """A channel's name: the topic's without what all have in common."""
    return "-".join(part for part in topic.name.split(".")[1:-1] if "{" not in part)


def _carried(topic: Topic, known: dict[str, Contract]) -> list[str]:
    names = [name for name in topic.carries.partition(":")[0].split(", ") if name in known]
    return names or [_PUT_ASIDE]


def _channel(topic: Topic, known: dict[str, Contract]) -> Json:
    channel: Json = {
        "address": topic.name,
        "description": topic.carries,
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in _carried(topic, known)},
        "bindings": {
            "kafka": {
                "topic": topic.name,
                "partitions": topic.partitions,
                "topicConfiguration": _configuration(topic),
                "bindingVersion": _BINDING,
            }
        },
    }
    if "{" in topic.name:
        channel["parameters"] = {_PARAMETER: {"description": "A record type whose accepted records are announced"}}
        del channel["bindings"]["kafka"]["topic"]
    return channel


def _configuration(topic: Topic) -> Json:
    made: Json = dict(topic.config)
    if "cleanup.policy" in made:
        made["cleanup.policy"] = made["cleanup.policy"].split(",")
    if "retention.ms" in made:
        made["retention.ms"] = int(made["retention.ms"])
    return made


def _operations(topic: Topic, known: dict[str, Contract]) -> Iterator[tuple[str, Json]]:
    """What rowstream does with a topic; it both sends and receives what is said between its services."""
    actions = {"receive"} if topic.name in _FROM_OTHERS else {"send"}
    inside = topic.name not in _FROM_OTHERS | _TO_OTHERS and "{" not in topic.name
    channel = _name(topic)
    for action in sorted(actions | ({"receive"} if inside else set())):
        yield (
            f"{action}-{channel}",
            {
                "action": action,
                "channel": {"$ref": f"#/channels/{channel}"},
                "summary": topic.carries,
                "messages": [{"$ref": f"#/channels/{channel}/messages/{name}"} for name in _carried(topic, known)],
            },
        )


def _message(contract: Contract) -> Json:
    return {
        "name": contract.name,
        "title": contract.name,
        "summary": contract.schema["doc"],
        "contentType": CONTENT_TYPE,
        "headers": _headers(),
        "payload": {"schemaFormat": _AVRO, "schema": copy.deepcopy(contract.schema)},
    }


def _headers() -> Json:
    envelope = Envelope.new(
        "message", source="rowstream", organization_id=new_id(), correlation_id="", traceparent=new_traceparent()
    )
    constant = {"ce_specversion": "1.0", "content-type": CONTENT_TYPE}
    properties: Json = {name: {"type": "string"} for name in envelope.headers()}
    for name, value in constant.items():
        properties[name]["const"] = value
    return {"type": "object", "required": list(properties), "properties": properties}
