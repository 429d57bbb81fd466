"""What `rowstream doctor` looks at in a running system: each process, each server, the key that commands show."""

import http.client
import os
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from rowstream.cli import client
from rowstream.cli.checks import Check, Wrong
from rowstream.cli.topics import broker_settings
from rowstream.database import connection
from rowstream.database.record_tables import lacking
from rowstream.database.version import is_migrated
from rowstream.kafka.topics import Topic, topic_partitions, topics_with
from rowstream.records.registry import announced, record_types
from rowstream.runtime.settings import KafkaSettings, StorageSettings
from rowstream.stack import ports
from rowstream.stack.addresses import Addresses, without_password
from rowstream.stack.broker import BROKER, PARTITIONS
from rowstream.stack.object_store import STORAGE
from rowstream.stack.postgres import DATABASE
from rowstream.stack.probes import get, waiting_for
from rowstream.stack.services import process_name
from rowstream.stack.state_dir import StateDir
from rowstream.storage.s3 import S3Store


def system_checks(system: Addresses, state: StateDir) -> Iterator[Check]:
    """What has to be right in a running system; each is named like the part that it looks at."""
    for service, urls in system.metrics.items():
        for number, url in enumerate(urls, 1):
            name = process_name(service, number)
            yield name, partial(_ready, url.removesuffix("/metrics") + "/readyz", state, state.log_of(name))
    yield DATABASE, lambda: _database(system.database)
    yield BROKER, lambda: _broker(broker_settings(system.broker), state.read_json(PARTITIONS))
    yield STORAGE, lambda: _storage(system)
    yield "api key", lambda: _api_key(state)


def _ready(url: str, state: StateDir, log: Path) -> str:
    where = urlsplit(url)
    port = where.port or 80
    if stranger := ports.stranger(port, state.holder()):
        advice = "stop that program; or end `rowstream up` and start it again, for the API with another --port"
        raise Wrong(f"another program holds {where.netloc}: {stranger}", advice)
    try:
        status, body = get(port, where.path)
    except (OSError, http.client.HTTPException) as error:
        if pid := ports.stopped(port):
            raise Wrong(f"process {pid} at {where.netloc} is stopped", f"let it go on: kill -CONT {pid}") from None
        advice = f"it is started again by itself; if it does not come back, see {log}"
        raise Wrong(f"{where.netloc} does not answer ({error})", advice) from None
    if status != http.HTTPStatus.OK:
        raise Wrong(f"not ready, waiting for {waiting_for(body)}", f"mend what it waits for; see {log}")
    return f"ready at {where.netloc}"


def _api_key(state: StateDir) -> str:
    try:
        # The key of this system, whatever the environment names; it is shown to no other program.
        with client.api(client.find(state.path, environment={})) as api:
            api.get("/api/v1/batch_uploads", params={"limit": 1})
    except client.NoSystem:
        raise Wrong("cannot be tried while the gateway does not answer", "mend what is wrong with it first") from None
    except client.NotLetIn as error:
        advice = "`rowstream org set default --reopen` if it is closed; else start `rowstream up` again: it makes one"
        raise Wrong(f"the one that the commands show is refused: {error}", advice) from None
    return "the one that the commands show is let in"


def _database(url: str) -> str:
    engine = connection.make_engine(url, service="doctor", pool_size=1)
    with connection.retryable_errors(), engine.connect() as conn:
        migrated = is_migrated(conn)
        lacks = [lack for one in record_types().values() if (lack := lacking(conn, one))] if migrated else []
        version = conn.exec_driver_sql("SHOW server_version").scalar()
    engine.dispose()
    if not migrated:
        raise Wrong(f"{without_password(url)} lacks tables of this version", "run `rowstream migrate`")
    if lacks:
        advice = "run `rowstream migrate`, which makes what is missing; or put back what was renamed or moved by hand"
        raise Wrong(f"{'; '.join(lacks)}: its uploads wait", advice)
    return f"Postgres {version} at {without_password(url)}, migrated"


def _broker(broker: KafkaSettings, recorded: Mapping[str, int]) -> str:
    return judge_topics(topics_with(announced()), topic_partitions(broker), recorded, broker.bootstrap_servers)


def judge_topics(wanted: Sequence[Topic], found: Mapping[str, int], recorded: Mapping[str, int], where: str) -> str:
    """Whether a broker has what is wanted, by the partition counts that were found and those recorded earlier; pure.

    Raises:
        Wrong: a topic is missing, or has fewer partitions than plans in flight may count on.
    """
    if missing := [topic.name for topic in wanted if topic.name not in found]:
        raise Wrong(
            f"topics missing at {where}: {', '.join(missing)}", "run `rowstream topics --make`, which makes them"
        )
    wrong = [
        f"{topic.name} has {found[topic.name]} partitions, not {count}"
        for topic in wanted
        if found[topic.name] < (count := recorded.get(topic.name, topic.partitions))
    ]
    if wrong:
        raise Wrong("; ".join(wrong), "let running uploads end, then run `rowstream topics --make`")
    return f"{len(wanted)} topics at {where}"


def _storage(system: Addresses) -> str:
    # The environment's credentials, as the services use them; the embedded store takes any.
    settings = StorageSettings(
        **{
            "access_key_id": "any",
            "secret_access_key": "any",
            **_storage_in_environment(),
            "endpoint_url": system.storage or None,
            "bucket": system.bucket,
        }
    )
    if not S3Store(settings).bucket_exists(system.bucket):
        raise Wrong(
            f"bucket {system.bucket} is not at {system.storage or 'AWS'}", "make the bucket, or correct the setting"
        )
    return f"bucket {system.bucket} at {system.storage or 'AWS'}"


def _storage_in_environment() -> dict[str, str]:
    prefix = "ROWSTREAM_STORAGE__"
    return {name.removeprefix(prefix).lower(): value for name, value in os.environ.items() if name.startswith(prefix)}
