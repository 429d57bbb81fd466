"""How a topic that is found differs from the one that is wanted."""

import pytest

from rowstream.kafka.drift import Found, compare
from rowstream.kafka.topics import TOPICS, Topic, config_of

WANTED = Topic("t", 4, "any", "tests", {"retention.ms": "5"})


@pytest.mark.parametrize(
    ("found", "faults"),
    [
        (None, ["missing"]),
        (Found(partitions=4, replication=3, config={"retention.ms": "5", "min.insync.replicas": "2"}), []),
        (Found(partitions=9, replication=5, config={"retention.ms": "5"}), []),
        (Found(partitions=4, replication=3), []),
        (Found(partitions=3, replication=3), ["3 partitions instead of 4"]),
        (Found(partitions=4, replication=1), ["1 copies instead of 3"]),
        (Found(partitions=4, replication=3, config={"retention.ms": "6"}), ["retention.ms is 6 instead of 5"]),
        (
            Found(partitions=1, replication=2, config={"retention.ms": "-1", "min.insync.replicas": "1"}),
            [
                "1 partitions instead of 4",
                "2 copies instead of 3",
                "retention.ms is -1 instead of 5",
                "min.insync.replicas is 1 instead of 2",
            ],
        ),
    ],
)
def test_faults_are_what_is_less_or_other_than_wanted(found: Found | None, faults: list[str]) -> None:
    (compared,) = compare([WANTED], {} if found is None else {"t": found}, replication=3, partitions={})
    assert compared.faults == faults


def test_recorded_partitions_win_over_declared_ones() -> None:
    (compared,) = compare([WANTED], {"t": Found(partitions=2, replication=1)}, replication=1, partitions={"t": 2})
    assert compared.faults == []


@pytest.mark.parametrize(("replication", "told"), [(1, {}), (2, {}), (3, {"min.insync.replicas": "2"})])
def test_with_three_copies_two_must_have_a_message(replication: int, told: dict[str, str]) -> None:
    assert config_of(WANTED, replication) == {"retention.ms": "5"} | told


def test_every_topic_says_how_long_it_is_kept() -> None:
    for topic in TOPICS:
        policy = topic.config["cleanup.policy"]
        assert policy == "compact" or int(topic.config["retention.ms"]) >= -1, topic.name
