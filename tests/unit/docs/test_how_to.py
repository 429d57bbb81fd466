"""What the how-to guides show of messages is what the code takes and sends."""

import ast
import io
import json
import re
import textwrap
from dataclasses import dataclass
from uuid import uuid4

import fastavro
import pytest

from docs.generate.pages import ROOT
from ingest_gateway.arrivals.cloud_events import read
from rowstream.kafka.topics import TOPICS, records_topic
from rowstream.messages import codec
from rowstream.messages.record_accepted import RecordAccepted
from rowstream.messages.upload_status import UploadStatus
from rowstream.runtime.sources import parse

GUIDES = {path.stem: path.read_text(encoding="utf-8") for path in (ROOT / "docs" / "how-to").glob("*.md")}


@dataclass(frozen=True)
class Message:
    value: bytes
    headers: dict[str, str]


def blocks(guide: str, language: str) -> list[str]:
    found = re.findall(rf"^ *```{language}\n(.*?)^ *```$", GUIDES[guide], flags=re.MULTILINE | re.DOTALL)
    return [textwrap.dedent(block) for block in found]


def assigned(source: str, name: str) -> dict[str, str]:
    """The literal that a block of Python assigns to a name."""
    for node in ast.parse(source).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name:
            value: dict[str, str] = ast.literal_eval(node.value)
            return value
    raise AssertionError(f"nothing is assigned to {name}")


def test_the_gateway_takes_both_forms_of_the_event() -> None:
    (program,) = blocks("hand-in-by-kafka", "python")
    (event,) = blocks("hand-in-by-kafka", "json")
    binary = read(Message(json.dumps(assigned(program, "data")).encode(), assigned(program, "headers")))
    structured = read(Message(event.encode(), {"content-type": "application/cloudevents+json"}))
    assert (
        (binary.source, binary.event_id)
        == (structured.source, structured.event_id)
        == (
            "//crm/exports",
            "2013-flights-1",
        )
    )
    assert binary.request.key == structured.request.key == "2013/flights.csv"
    assert structured.request.filename == "flights of 2013.csv"


def test_the_sources_file_of_a_partner_says_what_the_page_says() -> None:
    (text,) = blocks("connect-a-partner-by-sftp", "toml")
    (partner,) = parse(text.encode(), ROOT / "sources.toml").sftp
    assert (partner.name, partner.folder, partner.done_marker, partner.move_to) == (
        "acme",
        "outgoing",
        ".done",
        "taken",
    )


def test_a_status_is_read_as_the_program_reads_it() -> None:
    (program,) = blocks("follow-the-status-topic", "python")
    assert "message.value()[10:]" in program
    upload_id = uuid4()
    counts = dict.fromkeys(
        ("processed_records", "succeeded_records", "failed_records", "held_records", "unprocessed_records"), 7
    )
    sent = UploadStatus(
        upload_id=upload_id,
        organization_id=uuid4(),
        version=3,
        status="completed",
        attempt=1,
        record_type="flights",
        total_records=7,
        failure_code=None,
        failure_message=None,
        **counts,
    )
    schema = fastavro.schema.load_schema(str(ROOT / "schemas" / "UploadStatus.avsc"))
    found = fastavro.schemaless_reader(io.BytesIO(codec.encode(sent)[10:]), schema)
    assert isinstance(found, dict)
    assert (found["upload_id"], found["version"], found["status"]) == (upload_id, 3, "completed")


def test_an_accepted_record_is_read_as_the_program_reads_it() -> None:
    (program,) = blocks("follow-accepted-records", "python")
    assert "message.value()[10:]" in program
    assert records_topic("flights") in program
    assert "KafkaException(message.error())" in program  # a topic that nobody has made is not waited for in silence
    sent = RecordAccepted(
        upload_id=uuid4(),
        organization_id=uuid4(),
        row_number=2,
        record_type="flights",
        record_type_version=1,
        attempt=1,
        record='{"carrier":"UA","flight":1545,"cancelled":false}',
    )
    schema = fastavro.schema.load_schema(str(ROOT / "schemas" / "RecordAccepted.avsc"))
    found = fastavro.schemaless_reader(io.BytesIO(codec.encode(sent)[10:]), schema)
    assert isinstance(found, dict)
    assert (found["row_number"], json.loads(found["record"])["flight"]) == (2, 1545)


@pytest.mark.parametrize("guide", GUIDES)
def test_programs_are_python_and_topics_are_ours(guide: str) -> None:
    for program in blocks(guide, "python"):
        ast.parse(program)
    named = set(re.findall(r"rowstream\.[a-z-]+\.v1", GUIDES[guide]))
    assert named <= {topic.name for topic in TOPICS}
