"""What has to be done once before the services can start; each job is a process of its own.

`python -m rowstream.stack.bootstrap JOB STATE_DIR`, with the addresses in the environment like any service. Processes,
since these jobs need the heaviest imports of all, and a supervisor that lives for weeks should not keep them.
"""

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from rowstream.database import connection, keys, users
from rowstream.database.migrate import migrate
from rowstream.errors import RowstreamError
from rowstream.records.registry import announced, record_types
from rowstream.runtime import passwords, secrets
from rowstream.runtime.settings import ServiceSettings
from rowstream.stack.addresses import API_KEY, OWNER, OWNER_PASSWORD
from rowstream.stack.broker import make_topics, note_announced
from rowstream.stack.fingerprint import note_prepared
from rowstream.stack.state_dir import SECRETS, StateDir


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


def ensure_owner(database_url: str, known: str | None, keep: Callable[[str], None]) -> bool:
    """Make the default organization's first owner, where nobody owns it.

    Args:
        database_url: of a database that has the organization.
        known: the password that is kept of earlier, if one is.
        keep: keeps a password; called before the owner is made, so that no owner is made whose password nobody knows.

    Returns:
        Whether the password that is kept is the owner's.

    Raises:
        Retryable: the database does not answer.
    """
    engine = connection.make_engine(database_url, service="up", pool_size=1)
    try:
        with connection.retryable_errors(), engine.begin() as conn:
            owner = users.find(conn, OWNER)
            if owner is not None:
                return bool(known and owner.password_hash and passwords.is_right(owner.password_hash, known))
            if users.has_owner(conn, keys.DEFAULT_ORGANIZATION):
                return False
            password = known or passwords.random_password()
            keep(password)
            made = users.make_user(conn, OWNER, "Owner", passwords.hash_password(password))
            if made is not None:
                users.make_member(conn, keys.DEFAULT_ORGANIZATION, made, "owner", by="rowstream up", accepted=True)
            return made is not None
    finally:
        engine.dispose()


def ensure_secrets(path: Path) -> None:
    """Make the secrets file of a system that has none.

    Raises:
        Fatal: what is there is none.
    """
    if path.exists():
        secrets.read(path)
    else:
        secrets.write(path, secrets.new_secrets())


def prepare_database(settings: ServiceSettings, state: StateDir) -> None:
    """Migrate the database, make the topics of announced record types, and keep in the state folder what lets one in.

    That is a valid API key, the first owner's password, and the secrets that tokens are signed with.
    """
    ensure_secrets(state.path / SECRETS)
    url = settings.database.url.get_secret_value()
    migrate(url, list(record_types().values()))
    note_announced(state, announced())
    if announced():
        make_topics(state, settings.kafka, replication=settings.kafka.replication)
    known = state.read(API_KEY)
    key = ensure_api_key(url, known)
    if key != known:
        state.write(API_KEY, key)
    if not ensure_owner(url, state.read(OWNER_PASSWORD), partial(state.write, OWNER_PASSWORD)):
        state.forget(OWNER_PASSWORD)
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
