"""Apache Kafka in KRaft mode: one node that is broker and controller, as `kafka.Kafka` from its jars."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from confluent_kafka import KafkaException, Producer
from confluent_kafka.admin import AdminClient

from rowstream.kafka.topics import create_topics
from tests.servers.broker import Broker
from tests.servers.server import free_port, listens, running
from tests.servers.tools import KAFKA_VERSION, kafka_jars, kept

_CLUSTER = "rowstream-tests-000000"  # what the tool that formats logs takes for an id: 22 characters of base64
_JAVA = (
    "-Xmx512m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-XX:-UsePerfData",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
)
_ROLES = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.quorum.voters": "1@127.0.0.1:2",
    "controller.listener.names": "CONTROLLER",
}
_QUICK = {
    "offsets.topic.replication.factor": "1",
    "offsets.topic.num.partitions": "4",
    "transaction.state.log.num.partitions": "1",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "group.initial.rebalance.delay.ms": "0",
    "group.min.session.timeout.ms": "1000",
    "group.consumer.min.session.timeout.ms": "1000",
    "group.consumer.min.heartbeat.interval.ms": "100",
    "broker.session.timeout.ms": "2000",  # one that was killed registers again only after this
    "broker.heartbeat.interval.ms": "500",
    "auto.create.topics.enable": "false",
    "controlled.shutdown.enable": "false",
}


@dataclass(kw_only=True)
class ApacheKafka(Broker):
    """A broker that keeps its log when it is stopped or killed; `lose_log` takes it away while it is down."""

    data: Path
    properties: Path
    format_options: tuple[str, ...] = ()
    keeps_its_log: bool = True

    def lose_log(self) -> None:
        """Format the log anew, as after a disk that was replaced."""
        assert self.process is None, "a running broker cannot lose its log"
        shutil.rmtree(self.data, ignore_errors=True)
        if self.format_options:
            _format(self.properties, self.format_options)
        else:
            shutil.copytree(kept(f"kafka-{KAFKA_VERSION}-formatted", _format_template), self.data)


@contextmanager
def kafka_server(
    folder: Path,
    *,
    data: Path | None = None,
    listeners: Mapping[str, int] = MappingProxyType({}),
    properties: Mapping[str, str] = MappingProxyType({}),
    format_options: tuple[str, ...] = (),
    advertised_port: int | None = None,
    doors: Mapping[str, tuple[int, int]] = MappingProxyType({}),
) -> Iterator[ApacheKafka]:
    """An Apache Kafka with all topics; a restart keeps its log, unless `lose_log` is called in between.

    Args:
        folder: for its configuration, its log of events and, unless `data` says otherwise, its data.
        data: the folder of its data, made anew; such as one on a small disk.
        listeners: further ports by the name of their security protocol, such as SASL_SSL.
        properties: settings of the broker that win over those of the tests.
        format_options: for the tool that formats the log, such as credentials.
        advertised_port: the port that clients are sent to, where a proxy stands before the broker.
        doors: further plaintext listeners by any name: the port, and the one that clients who come to it are sent to,
            so that each client can have a proxy of its own.
    """
    data = data or folder / "kafka-data"
    server = _new_kafka(folder, data, listeners, properties, advertised_port, doors)
    server.format_options = format_options
    server.lose_log()
    with running(server):
        yield server


def _new_kafka(
    folder: Path,
    data: Path,
    listeners: Mapping[str, int],
    properties: Mapping[str, str],
    advertised_port: int | None,
    doors: Mapping[str, tuple[int, int]],
    *,
    java_options: list[str] | None = None,
) -> ApacheKafka:
    port, controller = free_port(), free_port()
    protocols = {"CONTROLLER": "PLAINTEXT", "PLAINTEXT": "PLAINTEXT"}
    protocols |= {name: name for name in listeners} | dict.fromkeys(doors, "PLAINTEXT")
    ports = {"PLAINTEXT": port, **listeners, **{name: door for name, (door, _) in doors.items()}}
    advertised = {**ports, "PLAINTEXT": advertised_port or port, **{name: to for name, (_, to) in doors.items()}}
    config = {
        **_ROLES,
        "controller.quorum.voters": f"1@127.0.0.1:{controller}",
        "listeners": _addresses({**ports, "CONTROLLER": controller}),
        "advertised.listeners": _addresses(advertised),
        "listener.security.protocol.map": ",".join(f"{name}:{protocol}" for name, protocol in protocols.items()),
        "log.dirs": str(data),
        **_QUICK,
        **properties,
    }
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "server.properties"
    file.write_text(_lines(config))
    return ApacheKafka(
        name="Apache Kafka",
        command=[*_java(*(_class_archive() if java_options is None else java_options)), "kafka.Kafka", str(file)],
        port=port,
        log=folder / "kafka.log",
        environment={"PATH": os.environ["PATH"]},
        ready=lambda: _answers(port),
        settle=lambda: _settle(f"127.0.0.1:{port}"),
        data=data,
        properties=file,
    )


def _format_template(folder: Path) -> None:
    """An empty log, as the tool makes it in a second; a copy of it takes no time."""
    with tempfile.NamedTemporaryFile("w", suffix=".properties") as file:
        file.write(_lines({**_ROLES, "listeners": "PLAINTEXT://:1,CONTROLLER://:2", "log.dirs": str(folder)}))
        file.flush()
        _format(Path(file.name), ())


def _format(properties: Path, options: tuple[str, ...]) -> None:
    command = [*_java(), "kafka.tools.StorageTool", "format", "-t", _CLUSTER, "-c", str(properties), *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    if done.returncode:
        raise AssertionError(f"the log of Apache Kafka cannot be formatted: {done.stderr[-2000:]}")


def _java(*options: str) -> list[str]:
    return ["java", *_JAVA, *options, "-cp", f"{kafka_jars()}/*"]


def _class_archive() -> list[str]:
    """What lets Java take the classes of the broker as they were loaded once: half the time, half the work."""
    archive = kept(f"kafka-{KAFKA_VERSION}-classes", _archive_classes) / "classes.jsa"
    return [f"-XX:SharedArchiveFile={archive}", "-Xlog:cds=off"] if archive.exists() else []


def _archive_classes(folder: Path) -> None:
    """Run a broker for a moment, and have Java write down its classes when it leaves."""
    with tempfile.TemporaryDirectory(prefix="rowstream-kafka-") as run:
        server = _new_kafka(Path(run), Path(run) / "data", {}, {}, None, {}, java_options=[])
        server.command.insert(1, f"-XX:ArchiveClassesAtExit={folder / 'classes.jsa'}")
        server.lose_log()
        with running(server):
            assert server.process
            server.process.terminate()
            server.process.wait(timeout=60)


def _lines(properties: Mapping[str, str]) -> str:
    return "".join(f"{name}={value}\n" for name, value in properties.items())


def _addresses(ports: Mapping[str, int]) -> str:
    return ",".join(f"{name}://127.0.0.1:{port}" for name, port in ports.items())


def _settle(address: str) -> None:
    """Make the topics, and have the broker fetch the ids that it gives to producers: the first waits for them."""
    create_topics(address)
    Producer({"bootstrap.servers": address, "transactional.id": "warm-up", "log_level": 2}).init_transactions(60)


def _answers(port: int) -> bool:
    """Whether the broker is there and has elected itself, so that topics can be made."""
    if not listens(port):
        return False
    admin = AdminClient({"bootstrap.servers": f"127.0.0.1:{port}", "log_level": 2})
    try:
        return bool(admin.list_topics(timeout=1).brokers)
    except KafkaException:
        return False
