"""A whole system: which parts there are, how they find each other, from the first start to the last stop."""

import os
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from rowstream.errors import Fatal
from rowstream.stack import ports
from rowstream.stack.addresses import API_KEY, OWNER, OWNER_PASSWORD, SYSTEM, Addresses
from rowstream.stack.broker import BROKER, announced_types, broker_part, make_topics
from rowstream.stack.fingerprint import is_prepared
from rowstream.stack.jam import Unjammer
from rowstream.stack.jobs import DATABASE_JOB, job_part
from rowstream.stack.object_store import STORAGE, object_store_part
from rowstream.stack.part import Part
from rowstream.stack.postgres import DATABASE, database_url, postgres_part
from rowstream.stack.runner import Announcing, Tell
from rowstream.stack.services import GATEWAY, PROCESSOR, SPLITTER, service_environment, service_names, service_parts
from rowstream.stack.state_dir import SECRETS, StateDir, full_disk
from rowstream.stack.supervisor import Supervisor

BUCKET = "rowstream"
BROKER_MEMORY = "ROWSTREAM_UP_BROKER_MEMORY"
_BROKER_MEMORY_BYTES = 1_000_000_000
_PORTS = "ports.json"


@dataclass(frozen=True, kw_only=True)
class Options:
    """What a system is to be.

    Attributes:
        state_dir: the folder of its whole state.
        processors: how many record processors.
        port: of the API; 0 takes a free one.
        broker: bootstrap servers of a real Kafka, instead of the embedded one.
        database: postgresql:// address of a real Postgres, instead of the embedded one.
        storage: endpoint URL of a real S3, instead of the embedded one; its credentials and bucket are taken from the
            environment (ROWSTREAM_STORAGE__*).
    """

    state_dir: Path = Path(".rowstream")
    processors: int = 2
    port: int = 8000
    broker: str | None = None
    database: str | None = field(default=None, repr=False)
    storage: str | None = None


@asynccontextmanager
async def running(options: Options, tell: Tell) -> AsyncIterator[tuple[Addresses, Supervisor]]:
    """Run a system while inside: its addresses once all is ready, and the supervisor, to wait on.

    Args:
        options: what it is to be.
        tell: called for every part that is ready, and for every one that ended and is started again.

    Raises:
        Fatal: it cannot be started (the folder is in use, the port is taken, the disk is full, a part fails); the
            message is one line that says what to do.
    """
    state = StateDir(options.state_dir)
    state.make()
    with _plain_errors(state), state.lock():
        state.check_room()
        limit = broker_limit(os.environ)
        numbers = choose_ports(options, state)
        environment, embedded = infrastructure(options, state, numbers)
        names = service_names(options.processors)
        needs = must_be_ready(embedded, prepared=options.database is None and is_prepared(state))
        services = service_parts(names, ports=numbers, environment=environment, needs=needs)
        supervisor = Supervisor([*embedded, *services], folder=state.logs, tell=tell)
        try:
            await supervisor.start()
            if options.broker is None:
                supervisor.upkeep.append(_recycler(state, numbers, names, environment, limit, supervisor))
                supervisor.upkeep.append(Unjammer(BROKER, {name: numbers[name] for name in names}, supervisor).run)
                if announced := announced_types(state):
                    tell(Announcing(BROKER, announced))
            addresses = with_secrets(find_addresses(environment, numbers, names), state)
            addresses.save(state)
            yield addresses, supervisor
        finally:
            state.forget(SYSTEM)
            await supervisor.stop()


def infrastructure(options: Options, state: StateDir, numbers: Mapping[str, int]) -> tuple[dict[str, str], list[Part]]:
    """The environment in which services find what they need, and the parts that provide it: embedded, or real ones.

    Raises:
        Fatal: something embedded cannot run on this machine.
    """
    environment = service_environment(
        os.environ,
        broker=options.broker or f"127.0.0.1:{numbers[BROKER]}",
        database=options.database or database_url(state, numbers[DATABASE]),
        storage=storage_settings(options.storage, numbers[STORAGE]),
        secrets_file=state.path / SECRETS,
        embedded_broker=options.broker is None,
    )

    def job(name: str, *needs: str) -> Part:
        return job_part(name, state, environment=environment, needs=needs)

    needs = [] if options.broker else [BROKER]  # it makes the topics of announced record types
    return environment, [
        *(
            [job("database", *needs)]
            if options.database
            else [postgres_part(state, numbers[DATABASE]), job("database", DATABASE, *needs)]
        ),
        job("topics") if options.broker else broker_part(state, numbers[BROKER]),
        job("bucket") if options.storage else object_store_part(state, numbers[STORAGE], BUCKET),
    ]


def _recycler(
    state: StateDir,
    numbers: Mapping[str, int],
    names: Mapping[str, str],
    environment: Mapping[str, str],
    limit: int,
    supervisor: Supervisor,
) -> Callable[[], Coroutine[Any, Any, None]]:
    from rowstream.stack.recycling import Embedded, Recycler  # noqa: PLC0415 - what it needs is slow to import

    broker = environment["ROWSTREAM_KAFKA__BOOTSTRAP_SERVERS"]
    embedded = Embedded(
        broker=BROKER,
        processors=[name for name, service in names.items() if service == PROCESSOR],
        splitter_ports=[numbers[name] for name, service in names.items() if service == SPLITTER],
        bootstrap_servers=broker,
        database=environment["ROWSTREAM_DATABASE__URL"],
        make_topics=lambda: make_topics(state, broker),
        limit_bytes=limit,
    )
    return Recycler(embedded, supervisor).run


def broker_limit(environment: Mapping[str, str]) -> int:
    """Bytes of memory above which the embedded broker's topic is recycled (`ROWSTREAM_UP_BROKER_MEMORY`).

    Raises:
        Fatal: it is no number above 0.
    """
    text = environment.get(BROKER_MEMORY, str(_BROKER_MEMORY_BYTES))
    if not text.isdecimal() or not int(text):
        raise Fatal(f"{BROKER_MEMORY} is {text!r}: it must be a number of bytes, such as {_BROKER_MEMORY_BYTES}")
    return int(text)


def must_be_ready(parts: Sequence[Part], *, prepared: bool) -> tuple[str, ...]:
    """The parts that must be ready before services start: all, but not the database's job where that is `prepared`."""
    return tuple(part.name for part in parts if not (prepared and part.name == DATABASE_JOB))


def storage_settings(real: str | None, port: int) -> dict[str, str]:
    """ROWSTREAM_STORAGE__* of the embedded store at `port`, or of a real one, whose other settings the user sets."""
    if real:
        return {"ENDPOINT_URL": real}
    return {
        "ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "ACCESS_KEY_ID": "embedded",
        "SECRET_ACCESS_KEY": "embedded-store-checks-none",
        "REGION": "us-east-1",
        "BUCKET": BUCKET,
        "PRESIGNED_POST": "false",
    }


def choose_ports(options: Options, state: StateDir) -> dict[str, int]:
    """A port for everything that listens: those of last time where they are free.

    Raises:
        PortTaken: the API's port is not to be had.
    """
    names = [BROKER, DATABASE, STORAGE, *service_names(options.processors)]
    chosen = ports.choose(names, state.read_json(_PORTS))
    if options.port:
        ports.require(options.port)
        chosen[GATEWAY] = options.port
    state.write_json(_PORTS, chosen)
    return chosen


def find_addresses(environment: Mapping[str, str], numbers: Mapping[str, int], names: Mapping[str, str]) -> Addresses:
    """The addresses of a system, from its services' environment and ports; without what lets one in."""
    metrics: dict[str, tuple[str, ...]] = {}
    for name, service in names.items():
        metrics[service] = (*metrics.get(service, ()), f"http://127.0.0.1:{numbers[name]}/metrics")
    return Addresses(
        gateway=f"http://127.0.0.1:{numbers[GATEWAY]}",
        broker=environment["ROWSTREAM_KAFKA__BOOTSTRAP_SERVERS"],
        database=environment["ROWSTREAM_DATABASE__URL"],
        storage=environment["ROWSTREAM_STORAGE__ENDPOINT_URL"],
        bucket=environment.get("ROWSTREAM_STORAGE__BUCKET", BUCKET),
        api_key="",
        metrics=metrics,
    )


def with_secrets(addresses: Addresses, state: StateDir) -> Addresses:
    """The same with the API key and the owner's password that the state folder keeps."""
    password = state.read(OWNER_PASSWORD)
    return replace(
        addresses,
        api_key=state.read(API_KEY) or "",
        owner=OWNER if password else "",
        owner_password=password or "",
    )


@contextmanager
def _plain_errors(state: StateDir) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise full_disk(error, state.path) or Fatal(f"{error.filename or state.path}: {error.strerror}") from error
