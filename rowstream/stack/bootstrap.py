"""What has to be done once before the services can start; each job is a process of its own.

`python -m rowstream.stack.bootstrap JOB STATE_DIR`, with the addresses in the environment like any service. Processes,
since these jobs need the heaviest imports of all, and a supervisor that lives for weeks should not keep them.
"""

import sys
from collections.abc import Callable
from pathlib import Path

from rowstream.database import connection, keys
from rowstream.database.migrate import migrate
from rowstream.errors import RowstreamError
from rowstream.records.registry import announced, record_types
from rowstream.runtime.settings import ServiceSettings
from rowstream.stack.addresses import API_KEY
from rowstream.stack.broker import make_topics, note_announced
from rowstream.stack.fingerprint import note_prepared
from rowstream.stack.state_dir import StateDir


def ensure_api_key(database_url: str, known: str | None) -> str:
    """A valid API key of the default organization: `known` if it still is one, otherwise a new one.

    Raises:
        Retryable: the database does not answer.
    """
    engine = connection.make_engine(database_url, service="up", pool_size=1)
    try:
        with connection.retryable_errors(), engine.begin() as conn:
            keys.ensure_default_organization(conn)
            if known and keys.holder_of(conn, known):
                return known
            return keys.make_key(conn, keys.DEFAULT_ORGANIZATION, "rowstream up")
    finally:
        engine.dispose()


def prepare_database(settings: ServiceSettings, state: StateDir) -> None:
    """Migrate the database, make the topics of announced record types, and keep a valid API key in the state folder."""
    url = settings.database.url.get_secret_value()
    migrate(url, list(record_types().values()))
    note_announced(state, announced())
    if announced():
        make_topics(state, settings.kafka, replication=settings.kafka.replication)
    known = state.read(API_KEY)
    key = ensure_api_key(url, known)
    if key != known:
        state.write(API_KEY, key)
    note_prepared(state)


def prepare_topics(settings: ServiceSettings, state: StateDir) -> None:
    """Make the topics that a real broker lacks."""
    note_announced(state, announced())
    make_topics(state, settings.kafka, replication=settings.kafka.replication)


def prepare_bucket(settings: ServiceSettings, _: StateDir) -> None:
    """Make the bucket that a real object store lacks."""
    from rowstream.storage.s3 import S3Store  # noqa: PLC0415 - only this job pays for the S3 client

    S3Store(settings.storage).make_bucket(settings.storage.bucket)


JOBS: dict[str, Callable[[ServiceSettings, StateDir], None]] = {
    "database": prepare_database,
    "topics": prepare_topics,
    "bucket": prepare_bucket,
}


def main(job: str, state_dir: str) -> None:
    """Do one job; errors that a person can mend become one line, and exit code 1."""
    try:
        JOBS[job](ServiceSettings.load(), StateDir(Path(state_dir)))
    except RowstreamError as error:
        sys.exit(f"{job}: {error}")


if __name__ == "__main__":
    main(*sys.argv[1:])
