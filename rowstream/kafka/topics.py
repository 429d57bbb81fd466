"""The topics of the system, and how to make them; only `rowstream topics` and the supervisor of `up` do."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from rowstream.errors import Retryable

UPLOAD_REQUESTS = "rowstream.upload-requests.v1"
UPLOADS = "rowstream.uploads.v1"
CHUNKS = "rowstream.chunks.v1"
CHUNK_RESULTS = "rowstream.chunk-results.v1"
SPLIT_RESULTS = "rowstream.split-results.v1"
UPLOAD_STATUS = "rowstream.upload-status.v1"
DEAD_LETTERS = "rowstream.dead-letters.v1"

_DAY_MS = 24 * 60 * 60 * 1000
_TIMEOUT_SECONDS = 10.0
_CRITICAL = 2  # as syslog numbers levels


@dataclass(frozen=True)
class Topic:
    """One topic: what it carries, its number of partitions, its configuration on Apache Kafka."""

    name: str
    partitions: int
    key: str
    carries: str
    config: Mapping[str, str] = field(default_factory=dict)


TOPICS = (
    Topic(UPLOAD_REQUESTS, 4, "any", "UploadRequest: systems ask to take in an object that is stored already"),
    Topic(UPLOADS, 4, "upload id", "UploadAccepted: wakes a splitter"),
    Topic(CHUNKS, 8, "upload id", "RecordChunk: up to 1,000 records", {"retention.ms": str(_DAY_MS)}),
    Topic(CHUNK_RESULTS, 4, "upload id", "ChunkResult: the outcome of one chunk"),
    Topic(SPLIT_RESULTS, 4, "upload id", "UploadSplit, UploadFailed: what became of the file as a whole"),
    Topic(UPLOAD_STATUS, 4, "upload id", "UploadStatus: for whoever follows uploads", {"cleanup.policy": "compact"}),
    Topic(DEAD_LETTERS, 1, "none", "messages that name no upload of ours, with the reason", {"retention.ms": "-1"}),
)


def records_topic(record_type: str) -> str:
    """The topic that the accepted records of this type are announced on."""
    return f"rowstream.records.{record_type}.v1"


def topics_with(announced: Iterable[str]) -> tuple[Topic, ...]:
    """Every topic of a system in which the records of these types are announced."""
    carries = "RecordAccepted: a record was loaded"
    return *TOPICS, *(Topic(records_topic(name), 8, "the record's key", carries) for name in announced)


def create_topics(
    bootstrap_servers: str,
    *,
    topics: Iterable[Topic] = TOPICS,
    partitions: Mapping[str, int] | None = None,
    replication: int = 1,
) -> list[str]:
    """Make those of the topics that are missing; returns their names.

    `partitions` are counts recorded earlier, which win over the declared ones: plans in flight have them pinned.

    Raises:
        Retryable: the broker does not answer.
    """
    admin = _admin(bootstrap_servers)
    counts = partitions or {}
    there = topic_partitions(bootstrap_servers)
    missing = [topic for topic in topics if topic.name not in there]
    if not missing:
        return []
    wanted = [
        NewTopic(topic.name, counts.get(topic.name, topic.partitions), replication, config=dict(topic.config))
        for topic in missing
    ]
    for future in admin.create_topics(wanted, operation_timeout=_TIMEOUT_SECONDS).values():
        try:
            future.result()
        except KafkaException as error:
            if error.args[0].name() != "TOPIC_ALREADY_EXISTS":
                raise Retryable(f"a topic could not be made: {error.args[0].str()}") from error
    return [topic.name for topic in missing]


def topic_partitions(bootstrap_servers: str) -> dict[str, int]:
    """The number of partitions of each topic that the broker has.

    Raises:
        Retryable: the broker does not answer.
    """
    try:
        found = _admin(bootstrap_servers).list_topics(timeout=_TIMEOUT_SECONDS)
    except KafkaException as error:
        raise Retryable(f"the broker at {bootstrap_servers} does not answer: {error.args[0].str()}") from error
    return {name: len(topic.partitions) for name, topic in found.topics.items()}


def _admin(bootstrap_servers: str) -> AdminClient:
    # Commands use it in terminals: what goes wrong is raised, and not also written to stderr many times a second.
    return AdminClient({"bootstrap.servers": bootstrap_servers, "log_level": _CRITICAL})
