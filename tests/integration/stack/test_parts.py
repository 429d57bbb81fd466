"""The embedded broker, database and object store: each killed, each back, none reachable by others."""

import asyncio
import hashlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
import psutil
import psycopg
import pytest

from rowstream.kafka.topics import CHUNKS, TOPICS, topic_partitions
from rowstream.stack import ports
from rowstream.stack.broker import broker_part
from rowstream.stack.object_store import object_store_part
from rowstream.stack.part import Part
from rowstream.stack.postgres import database_url, postgres_part
from rowstream.stack.runner import Event, Ready
from rowstream.stack.state_dir import StateDir
from rowstream.stack.supervisor import Supervisor


@pytest.fixture
def state() -> Iterator[StateDir]:
    # Not pytest's folder: pytest closes it to other users again while the database's user works in it.
    with TemporaryDirectory(prefix="rowstream-test-") as folder:
        state = StateDir(Path(folder) / "state")
        state.make()
        yield state


@asynccontextmanager
async def kept_going(state: StateDir, part: Part) -> AsyncIterator[Callable[[], int]]:
    """The part under a supervisor; gives a function that says how often it has become ready."""
    events: list[Event] = []
    supervisor = Supervisor([part], folder=state.logs, tell=events.append)
    try:
        await supervisor.start(30.0)
        yield lambda: sum(isinstance(event, Ready) for event in events)
    finally:
        await supervisor.stop()


def kill(port: int) -> None:
    os.kill(listener(port).pid, signal.SIGKILL)


async def until(true: Callable[[], bool], seconds: float = 15.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not come true"
        await asyncio.sleep(0.02)


def listener(port: int) -> psutil.Process:
    """The oldest process that listens on the port: servers hand the socket on to their children."""
    connections = [one for one in psutil.net_connections("tcp") if one.status == psutil.CONN_LISTEN]
    pids = {one.pid for one in connections if one.laddr and one.laddr.port == port and one.pid}
    return min((psutil.Process(pid) for pid in pids), key=psutil.Process.create_time)


def peak_bytes(process: psutil.Process) -> int:
    """The most memory that it ever held."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) << 10


def listening_addresses(process: psutil.Process) -> set[str]:
    return {one.laddr.ip for one in process.net_connections("inet") if one.status == psutil.CONN_LISTEN}


def test_topics_are_back_with_their_partitions_before_a_killed_broker_counts_as_ready(state: StateDir) -> None:
    port = ports.choose(["broker"], {})["broker"]
    state.write_json("topics.json", {CHUNKS: 3})

    async def scene() -> None:
        async with kept_going(state, broker_part(state, port)) as times_ready:
            before = topic_partitions(f"127.0.0.1:{port}")
            assert {topic.name for topic in TOPICS} <= set(before)
            assert before[CHUNKS] == 3
            assert listening_addresses(listener(port)) == {"127.0.0.1"}
            kill(port)
            await until(lambda: times_ready() == 2)
            assert topic_partitions(f"127.0.0.1:{port}") == before

    asyncio.run(scene())


def test_a_killed_database_is_back_with_what_was_committed(state: StateDir) -> None:
    port = ports.choose(["postgres"], {})["postgres"]
    url = database_url(state, port)

    async def scene() -> None:
        async with kept_going(state, postgres_part(state, port)) as times_ready:
            with psycopg.connect(url, autocommit=True) as connection:
                connection.execute("CREATE TABLE kept (value text PRIMARY KEY)")
                connection.execute("INSERT INTO kept VALUES ('a cell of a record')")
            kill(port)
            await until(lambda: times_ready() == 2)
            with psycopg.connect(url, autocommit=True) as connection:
                assert connection.execute("SELECT value FROM kept").fetchall() == [("a cell of a record",)]
                with pytest.raises(psycopg.errors.UniqueViolation):
                    connection.execute("INSERT INTO kept VALUES ('a cell of a record')")

    asyncio.run(scene())
    log = (state.logs / "database.log").read_text()
    assert "duplicate key" in log
    assert "a cell of a record" not in log


def test_the_database_is_only_for_this_machine_and_who_knows_the_password(state: StateDir) -> None:
    port = ports.choose(["postgres"], {})["postgres"]
    url = database_url(state, port)

    async def scene() -> None:
        async with kept_going(state, postgres_part(state, port)):
            server = listener(port)
            assert listening_addresses(server) == {"127.0.0.1"}
            assert server.username() != "root"
            password = url.split(":")[2].split("@")[0]
            assert password not in " ".join(server.cmdline())
            with psycopg.connect(url) as connection:
                assert connection.execute("SELECT current_database(), current_user").fetchone() == (
                    "rowstream",
                    "rowstream",
                )
                settings: dict[str, str] = dict(connection.execute("SELECT name, setting FROM pg_settings").fetchall())
                assert [settings[name] for name in ("fsync", "synchronous_commit", "full_page_writes")] == ["on"] * 3
            with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
                psycopg.connect(url.replace(password, "guess"))

    asyncio.run(scene())


def test_what_a_killed_system_left_does_not_keep_the_database_from_starting(state: StateDir) -> None:
    port = ports.choose(["postgres"], {})["postgres"]

    async def start_and_stop() -> None:
        async with kept_going(state, postgres_part(state, port)):
            pass

    data = state.path / "postgres" / "data"
    # A start that was cut off before the data folder was complete.
    (data.parent / "data.new").mkdir(parents=True)
    asyncio.run(start_and_stop())
    # As after a restart of the machine: the file names a process, and the number belongs to another program now.
    owner = data.stat().st_uid
    with subprocess.Popen(["sleep", "60"], user=owner) as another:
        (data / "postmaster.pid").write_text(f"{another.pid}\n{data}\n1\n{port}\n\n127.0.0.1\n1 1\nready\n")
        asyncio.run(start_and_stop())
        assert another.poll() is None
        another.kill()


def test_an_object_of_any_size_takes_little_memory_and_half_of_one_is_none(state: StateDir) -> None:
    port = ports.choose(["store"], {})["store"]
    url, size = f"http://127.0.0.1:{port}/records", 200 << 20

    def blocks() -> Iterator[bytes]:
        for number in range(200):
            yield bytes([number % 256]) * (1 << 20)

    async def scene() -> None:
        async with kept_going(state, object_store_part(state, port, "records")):
            put = partial(httpx.put, content=blocks(), headers={"Content-Length": str(size)}, timeout=120)
            answer = await asyncio.to_thread(put, f"{url}/large.csv")
            assert answer.status_code == 200
            digest = hashlib.md5(b"".join(blocks()), usedforsecurity=False).hexdigest()
            assert answer.headers["etag"] == f'"{digest}"'
            assert (state.path / "objects" / "records" / "large.csv").stat().st_size == size
            assert peak_bytes(listener(port)) < 120 << 20
            with socket.create_connection(("127.0.0.1", port)) as client:
                client.sendall(f"PUT /records/half.csv HTTP/1.1\r\nHost: x\r\nContent-Length: {size}\r\n\r\n".encode())
                client.sendall(bytes(20 << 20))
            await until(lambda: [path.name for path in (state.path / "objects" / "records").iterdir()] == ["large.csv"])

    asyncio.run(scene())


def test_the_bucket_is_there_and_survives_the_store(state: StateDir) -> None:
    port = ports.choose(["store"], {})["store"]
    url = f"http://127.0.0.1:{port}/records/file.csv"

    async def scene() -> None:
        async with kept_going(state, object_store_part(state, port, "records")) as times_ready:
            assert (await asyncio.to_thread(httpx.put, url, content=b"a,b")).status_code == 200
            assert listening_addresses(listener(port)) == {"127.0.0.1"}
            kill(port)
            await until(lambda: times_ready() == 2)
            assert (await asyncio.to_thread(httpx.get, url)).content == b"a,b"

    asyncio.run(scene())
    assert (state.path / "objects").stat().st_mode & 0o777 == 0o700
