"""How the topics of a broker differ from those that the system wants, and how to mend it.

More partitions or copies than wanted are no fault: whoever runs the brokers may have widened a topic. What a broker
does not tell (the embedded one knows no configuration but what a topic was made with) is not judged.
"""

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from confluent_kafka import KafkaException
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # its public names, but it does not say so
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourceType,
)
from confluent_kafka.cimpl import NewPartitions

from rowstream.errors import Retryable
from rowstream.kafka.topics import TIMEOUT_SECONDS, Admin, Broker, Topic, config_of

_SEEN_SECONDS = 5.0
_LOOK_SECONDS = 0.05


@dataclass(frozen=True, kw_only=True)
class Found:
    """A topic as the broker has it; `config` holds what the broker tells of its configuration."""

    partitions: int
    replication: int
    config: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """One topic, wanted and found; `found` is None where the broker lacks it."""

    topic: Topic
    partitions: int
    replication: int
    config: Mapping[str, str]
    found: Found | None

    @property
    def wrong_config(self) -> dict[str, str]:
        """What its configuration should say and does not."""
        if self.found is None:
            return {}
        told = self.found.config
        return {name: value for name, value in self.config.items() if told.get(name, value) != value}

    @property
    def can_be_mended(self) -> bool:
        """Whether `mend` has something to do."""
        return self.found is not None and (self.found.partitions < self.partitions or bool(self.wrong_config))

    @property
    def faults(self) -> list[str]:
        """What is wrong with it, in words; nothing where it is as wanted."""
        if self.found is None:
            return ["missing"]
        faults = []
        if self.found.partitions < self.partitions:
            faults.append(f"{self.found.partitions} partitions instead of {self.partitions}")
        if self.found.replication < self.replication:
            faults.append(f"{self.found.replication} copies instead of {self.replication}")
        faults += [
            f"{name} is {self.found.config[name]} instead of {value}" for name, value in self.wrong_config.items()
        ]
        return faults


def compare(
    topics: Iterable[Topic], found: Mapping[str, Found], *, replication: int, partitions: Mapping[str, int]
) -> list[Comparison]:
    """Each topic, wanted beside found.

    Args:
        topics: the wanted ones.
        found: what the broker has, by name.
        replication: how many copies are wanted of each partition.
        partitions: counts recorded earlier, which win over the declared ones.
    """
    return [
        Comparison(
            topic=topic,
            partitions=partitions.get(topic.name, topic.partitions),
            replication=replication,
            config=config_of(topic, replication),
            found=found.get(topic.name),
        )
        for topic in topics
    ]


def look(broker: Broker, topics: Iterable[Topic]) -> dict[str, Found]:
    """Those of the topics that the broker has.

    Raises:
        Retryable: the broker does not answer.
    """
    admin = Admin(broker)
    try:
        there = admin.list_topics(timeout=TIMEOUT_SECONDS).topics
        names = [topic.name for topic in topics if topic.name in there]
        resources = [ConfigResource(ResourceType.TOPIC, name) for name in names]
        asked: dict[Any, Any] = admin.describe_configs(resources, request_timeout=TIMEOUT_SECONDS) if resources else {}
        configs = {resource.name: _told(future.result()) for resource, future in asked.items()}
    except KafkaException as error:
        raise admin.silent(error) from error
    return {
        name: Found(
            partitions=len(there[name].partitions),
            replication=min(len(part.replicas) for part in there[name].partitions.values()),
            config=configs[name],
        )
        for name in names
    }


def mend(broker: Broker, comparisons: Sequence[Comparison]) -> list[str]:
    """Add the partitions that are missing and correct the configuration; says in words what was done.

    Copies are not added: to place them among brokers is for whoever runs these (`kafka-reassign-partitions.sh`).
    Topics that are missing as a whole are made by `create_topics`.

    Raises:
        Retryable: the broker does not answer, or refuses.
    """
    admin = Admin(broker)
    done = []
    for one in comparisons:
        if one.found is None:
            continue
        if one.found.partitions < one.partitions:
            _wait(admin.create_partitions([NewPartitions(one.topic.name, one.partitions)]), one.topic)
            done.append(f"{one.topic.name}: now {one.partitions} partitions")
        if one.wrong_config:
            _wait(_configured(admin, one), one.topic)
            done.append(f"{one.topic.name}: now {_words(one.wrong_config)}")
    _wait_until_seen(broker, comparisons)
    return done


def _wait_until_seen(broker: Broker, comparisons: Sequence[Comparison]) -> None:
    """A broker says that a topic is changed before it shows it; after some seconds it is as it is shown then."""
    deadline = time.monotonic() + _SEEN_SECONDS
    while time.monotonic() < deadline:
        found = look(broker, [one.topic for one in comparisons])
        if not any(replace(one, found=found.get(one.topic.name)).can_be_mended for one in comparisons):
            return
        time.sleep(_LOOK_SECONDS)


def _configured(admin: Admin, one: Comparison) -> Mapping[Any, Any]:
    entries = [
        ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
        for name, value in one.wrong_config.items()
    ]
    resource = ConfigResource(ResourceType.TOPIC, one.topic.name, incremental_configs=entries)
    changed: Mapping[Any, Any] = admin.incremental_alter_configs([resource], request_timeout=TIMEOUT_SECONDS)
    return changed


def _wait(futures: Mapping[Any, Any], topic: Topic) -> None:
    for future in futures.values():
        try:
            future.result()
        except KafkaException as error:
            raise Retryable(f"{topic.name} could not be changed: {error.args[0].str()}") from error


def _told(config: Mapping[str, ConfigEntry]) -> dict[str, str]:
    return {name: str(entry.value) for name, entry in config.items() if entry.value is not None}


def _words(config: Mapping[str, str]) -> str:
    return ", ".join(f"{name}={value}" for name, value in config.items())
