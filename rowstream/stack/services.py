"""The four services as parts: how each is started, and what the environment tells it.

They are started with `python -P`: a file in the present folder that happens to be named like a service is not it.
"""

import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType

from rowstream.stack import ports as ports_here
from rowstream.stack.part import Part
from rowstream.stack.probes import answers_ready

GATEWAY, SPLITTER, PROCESSOR = "ingest_gateway", "splitter", "record_processor"
PROCESSOR_GROUP = "record-processor"  # as the processors name it, whose code the supervisor does not import

# On one machine what comes in goes first: what was taken in may wait, a client who hands in does not. It costs a large
# file nothing, and where services have machines of their own nobody stands before them.
_BEHIND_THE_GATEWAY = 5

_WITH_EMBEDDED_BROKER: Mapping[str, str] = MappingProxyType(
    {
        # It lets the first members of a group wait for half of this, in whole seconds.
        "ROWSTREAM_KAFKA__SESSION_TIMEOUT_MS": "4000",
        # It answers only when the wait is over, so a message takes half of this longer at each step.
        "ROWSTREAM_KAFKA__FETCH_WAIT_MS": "100",
    }
)


def service_names(processors: int) -> dict[str, str]:
    """The module of each service process, by the process's name."""
    numbered = {process_name(PROCESSOR, number): PROCESSOR for number in range(1, processors + 1)}
    return {GATEWAY: GATEWAY, SPLITTER: SPLITTER, **numbered, "auditor": "auditor"}


def process_name(service: str, number: int) -> str:
    """What `up`, `doctor` and the logs call a process: its service, with a number (from 1) if there may be several."""
    return f"{service}-{number}" if service == PROCESSOR else service


def service_parts(
    names: Mapping[str, str], *, ports: Mapping[str, int], environment: Mapping[str, str], needs: tuple[str, ...]
) -> list[Part]:
    """A part for each service process.

    Args:
        names: the module of each, by the process's name.
        ports: where each answers HTTP, by the process's name.
        environment: what all have in common; the port is added.
        needs: names of the parts that must be ready first.
    """
    return [
        Part(
            name=name,
            command=(sys.executable, "-P", "-m", module),
            environment={**environment, "ROWSTREAM_HTTP__HOST": "127.0.0.1", "ROWSTREAM_HTTP__PORT": str(ports[name])},
            needs=needs,
            prepare=partial(
                ports_here.require,
                ports[name],
                ports_here.ANOTHER_API_PORT if module == GATEWAY else ports_here.ANOTHER_PORT,
            ),
            ready=answers_ready(ports[name]),
            grace=30.0,
            niceness=0 if module == GATEWAY else _BEHIND_THE_GATEWAY,
        )
        for name, module in names.items()
    ]


def service_environment(
    inherited: Mapping[str, str],
    *,
    broker: str,
    database: str,
    storage: Mapping[str, str],
    secrets_file: Path,
    embedded_broker: bool,
) -> dict[str, str]:
    """What every service finds in its environment.

    Args:
        inherited: the environment of `rowstream up`; its ROWSTREAM_* settings reach the services unless set here.
        broker: bootstrap servers.
        database: address, with password.
        storage: settings of the object store, by the name after ROWSTREAM_STORAGE__.
        secrets_file: of the gateway, unless the environment names another.
        embedded_broker: whether the broker is the embedded one.
    """
    return {
        # Each process works in one thread and the system scales by processes; Polars reads this when it is imported.
        "POLARS_MAX_THREADS": "1",
        # Threads of one process share two heaps: with one each, what a thread has freed is of no use to the next.
        "MALLOC_ARENA_MAX": "2",
        # And what Arrow has freed is of use to everything else: its own allocator keeps a heap for each thread, too.
        "ARROW_DEFAULT_MEMORY_POOL": "system",
        **(_WITH_EMBEDDED_BROKER if embedded_broker else {}),
        "ROWSTREAM_ACCESS__SECRETS_FILE": str(secrets_file),
        **inherited,
        "PYTHONUNBUFFERED": "1",
        "ROWSTREAM_KAFKA__BOOTSTRAP_SERVERS": broker,
        "ROWSTREAM_DATABASE__URL": database,
        **{f"ROWSTREAM_STORAGE__{name}": value for name, value in storage.items()},
    }
