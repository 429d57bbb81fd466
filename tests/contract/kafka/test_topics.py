"""The topics that are made are those that are wanted, and what differs is seen and mended."""

import json
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from rowstream.errors import Retryable
from rowstream.kafka.drift import Found, compare, look, mend
from rowstream.kafka.topics import CHUNKS, TOPICS, UPLOAD_STATUS, UPLOADS, create_topics
from tests import servers
from tests.unit.cli.support import run


def faults(broker: str, *, replication: int = 1) -> dict[str, list[str]]:
    compared = compare(TOPICS, look(broker, TOPICS), replication=replication, partitions={})
    return {one.topic.name: one.faults for one in compared if one.faults}


def test_what_was_made_is_as_wanted(broker: str) -> None:
    found = look(broker, TOPICS)
    assert found.keys() == {topic.name for topic in TOPICS}
    assert (found[CHUNKS].partitions, found[CHUNKS].replication) == (8, 1)
    assert found[CHUNKS].config["retention.ms"] == "86400000"
    assert found[UPLOAD_STATUS].config["cleanup.policy"] == "compact"
    assert faults(broker) == {}
    assert faults(broker, replication=2)[CHUNKS] == ["1 copies instead of 2"]


def test_a_broker_that_is_away_is_named() -> None:
    with pytest.raises(Retryable, match=r"127\.0\.0\.1:1 does not answer"):
        look("127.0.0.1:1", TOPICS)


def odd_topics(kafka: servers.ApacheKafka) -> None:
    """One topic is missing, one has too few partitions, one a wrong configuration, one more than is wanted."""
    kafka.kill()
    kafka.lose_log()
    kafka.settle = lambda: None
    kafka.start()
    admin = AdminClient({"bootstrap.servers": kafka.address})
    odd = [NewTopic(UPLOADS, 2, 1), NewTopic(CHUNKS, 12, 1), NewTopic(UPLOAD_STATUS, 4, 1)]
    for made in admin.create_topics(odd).values():
        made.result(20)
    create_topics(kafka.address, topics=TOPICS[:-1])


def test_a_broker_of_ones_own_is_shown_to_differ_and_is_mended(own_kafka: servers.ApacheKafka, tmp_path: Path) -> None:
    odd_topics(own_kafka)
    expected = {
        UPLOADS: ["2 partitions instead of 4"],
        CHUNKS: ["retention.ms is 604800000 instead of 86400000"],
        UPLOAD_STATUS: ["cleanup.policy is delete instead of compact"],
        TOPICS[-1].name: ["missing"],
    }
    assert faults(own_kafka.address) == expected
    here = ("topics", "--broker", own_kafka.address, "--state-dir", str(tmp_path / "no system"))

    shown = run(*here)
    assert shown.code == 1
    lines = {line.split()[0]: line for line in shown.out.splitlines()}
    assert lines[UPLOADS].split()[1:4] == ["2", "of", "4"]
    for topic, (fault,) in expected.items():
        assert lines[topic].endswith(fault)
    assert lines[TOPICS[0].name].endswith("as wanted")
    assert "rowstream topics --make" in shown.err
    assert faults(own_kafka.address) == expected  # looking makes nothing

    told = run(*here, "--json")
    assert told.code == 1
    assert {one["topic"]: one["faults"] for one in json.loads(told.out)["topics"] if one["faults"]} == expected

    mended = run(*here, "--make", "--json")
    assert mended.code == 0
    assert json.loads(mended.out)["made"] == [TOPICS[-1].name]
    assert {line.partition(":")[0] for line in json.loads(mended.out)["changed"]} == expected.keys() - {TOPICS[-1].name}
    assert faults(own_kafka.address) == {}
    assert look(own_kafka.address, TOPICS)[CHUNKS] == Found(
        partitions=12, replication=1, config=look(own_kafka.address, TOPICS)[CHUNKS].config
    )
    assert mend(own_kafka.address, compare(TOPICS, look(own_kafka.address, TOPICS), replication=1, partitions={})) == []

    copies = run(*here, "--make", "--replication", "2")
    assert copies.code == 1
    assert "1 of 2" in copies.out
    assert "kafka-reassign-partitions.sh" in copies.err
