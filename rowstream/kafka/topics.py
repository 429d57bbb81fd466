"""The topics of the system, and how to make them; only `rowstream topics` and the supervisor of `up` do."""

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from rowstream.errors import Retryable
from rowstream.kafka.connection import connection_config

if TYPE_CHECKING:  # whoever names a broker by its address does not pay for the settings
    from rowstream.runtime.settings import KafkaSettings

UPLOAD_REQUESTS = "rowstream.upload-requests.v1"
UPLOAD_REPLIES = "rowstream.upload-replies.v1"
UPLOADS = "rowstream.uploads.v1"
CHUNKS = "rowstream.chunks.v1"
CHUNK_RESULTS = "rowstream.chunk-results.v1"
SPLIT_RESULTS = "rowstream.split-results.v1"
UPLOAD_STATUS = "rowstream.upload-status.v1"
DEAD_LETTERS = "rowstream.dead-letters.v1"

TIMEOUT_SECONDS = 10.0

Broker: TypeAlias = "KafkaSettings | str"
"""How to reach a broker: all settings of the connection, or only host:port."""

_DAY_MS = 24 * 60 * 60 * 1000
_LOOK_SECONDS = 0.05
_SAFE_COPIES = 3
_CRITICAL = 2  # as syslog numbers levels


@dataclass(frozen=True)
class Topic:
    """One topic: what it carries, its number of partitions, its configuration on Apache Kafka."""

    name: str
    partitions: int
    key: str
    carries: str
    config: Mapping[str, str] = field(default_factory=dict)


def _kept_days(days: int) -> dict[str, str]:
    return {"cleanup.policy": "delete", "retention.ms": str(days * _DAY_MS)}


_WEEK = _kept_days(7)
_FOR_EVER = {"cleanup.policy": "delete", "retention.ms": "-1"}

TOPICS = (
    Topic(UPLOAD_REQUESTS, 4, "any", "UploadRequest: systems ask to take in an object that is stored already", _WEEK),
    Topic(UPLOAD_REPLIES, 4, "the request's ce_id", "UploadReply: what became of a request", _WEEK),
    Topic(UPLOADS, 4, "upload id", "UploadAccepted: wakes a splitter", _WEEK),
    Topic(CHUNKS, 8, "upload id", "RecordChunk: up to 1,000 records", _kept_days(1)),
    Topic(CHUNK_RESULTS, 4, "upload id", "ChunkResult: the outcome of one chunk", _WEEK),
    Topic(SPLIT_RESULTS, 4, "upload id", "UploadSplit, UploadFailed: what became of the file as a whole", _WEEK),
    Topic(UPLOAD_STATUS, 4, "upload id", "UploadStatus: for whoever follows uploads", {"cleanup.policy": "compact"}),
    Topic(DEAD_LETTERS, 1, "none", "messages that name no upload of ours, with the reason", _FOR_EVER),
)


def records_topic(record_type: str) -> str:
    """The topic that the accepted records of this type are announced on."""
    return f"rowstream.records.{record_type}.v1"


def topics_with(announced: Iterable[str]) -> tuple[Topic, ...]:
    """Every topic of a system in which the records of these types are announced."""
    carries = "RecordAccepted: a record was loaded"
    return *TOPICS, *(Topic(records_topic(name), 8, "the record's key", carries, _WEEK) for name in announced)


def create_topics(
    broker: Broker,
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
    admin = Admin(broker)
    counts = partitions or {}
    there = topic_partitions(broker)
    missing = [topic for topic in topics if topic.name not in there]
    if not missing:
        return []
    wanted = [
        NewTopic(
            topic.name, counts.get(topic.name, topic.partitions), replication, config=config_of(topic, replication)
        )
        for topic in missing
    ]
    for future in admin.create_topics(wanted, operation_timeout=TIMEOUT_SECONDS).values():
        try:
            future.result()
        except KafkaException as error:
            if error.args[0].name() != "TOPIC_ALREADY_EXISTS":
                raise Retryable(f"a topic could not be made: {error.args[0].str()}") from error
    names = [topic.name for topic in missing]
    _wait_until_seen(broker, names)
    return names


def _wait_until_seen(broker: Broker, names: list[str]) -> None:
    """A broker says that a topic is made before it knows of it when asked."""
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while unseen := set(names) - topic_partitions(broker).keys():
        if time.monotonic() > deadline:
            raise Retryable(f"{min(unseen)} was made, but the broker does not show it")
        time.sleep(_LOOK_SECONDS)


def topic_partitions(broker: Broker) -> dict[str, int]:
    """The number of partitions of each topic that the broker has.

    Raises:
        Retryable: the broker does not answer.
    """
    admin = Admin(broker)
    try:
        found = admin.list_topics(timeout=TIMEOUT_SECONDS)
    except KafkaException as error:
        raise admin.silent(error) from error
    return {name: len(topic.partitions) for name, topic in found.topics.items()}


def config_of(topic: Topic, replication: int) -> dict[str, str]:
    """The configuration of a topic: with three copies and more, a message is safe once two have it."""
    return {**topic.config, **({"min.insync.replicas": "2"} if replication >= _SAFE_COPIES else {})}


class Admin(AdminClient):
    """A client that manages topics.

    Commands use it in terminals: what goes wrong is raised, and not also written to stderr many times a second.
    """

    def __init__(self, broker: Broker) -> None:
        """`broker` as all settings of the connection, or only as host:port."""
        connection = {"bootstrap.servers": broker} if isinstance(broker, str) else connection_config(broker)
        self._address = connection["bootstrap.servers"]
        self._trouble = ""
        config: dict[str, Any] = {**connection, "log_level": _CRITICAL, "error_cb": self._note}
        super().__init__(config)

    def silent(self, error: KafkaException) -> Retryable:
        """That the broker does not answer, with why as far as it is known: a refused password, a wrong certificate."""
        self.poll(0)  # lets `_note` be called
        return Retryable(f"the broker at {self._address} does not answer: {self._trouble or error.args[0].str()}")

    def _note(self, error: KafkaError) -> None:
        if error.code() in (KafkaError._AUTHENTICATION, KafkaError._SSL) or not self._trouble:  # noqa: SLF001 - so named in the client's public API
            self._trouble = error.str()
