"""Uploads that arrive at a steady rate, whether those before them are done or not; beside them, one bare INSERT each.

A client's time for a request begins when it was due, so that a gateway that falls behind cannot hide it by being asked
less. A bare INSERT and its commit are timed at the same moments, by the same clock, against the same database: what it
costs the machine at that moment to make anything durable.
"""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, Self

import httpx
import psycopg

from tests.bench import workload
from tests.bench.spread import p95, spread
from tests.whole_system import System

_CLIENTS = 32
_TABLE = "bare_insert"
_INSERT = f"INSERT INTO {_TABLE} (id, note) VALUES (gen_random_uuid(), 'a file has arrived')".encode()  # noqa: S608 - a constant
_ALONE = 200
_END_SECONDS = 300.0


@dataclass
class _Times:
    """Seconds, in no order."""

    presign: list[float] = field(default_factory=list)
    confirm: list[float] = field(default_factory=list)
    insert: list[float] = field(default_factory=list)
    uploads: list[str] = field(default_factory=list)


def arriving(system: System, count: int, a_second: float) -> dict[str, float]:
    """Hand in `count` files of ten records, `a_second` of them each second; all of them must be loaded in the end."""
    times, files = _Times(), [workload.small_file(f"arriving-{number}") for number in range(count)]
    with _bare_table(system) as connection, ThreadPoolExecutor(_CLIENTS) as pool, _Clients(system) as clients:
        alone = _inserts(connection, _moments(_ALONE, a_second))
        moments = list(_moments(count, a_second))
        beside = threading.Thread(target=lambda: times.insert.extend(_inserts(connection, iter(moments))))
        beside.start()
        handed = []
        for moment, file in zip(moments, files, strict=True):
            time.sleep(max(0.0, moment - time.monotonic()))
            handed.append(pool.submit(_hand_in, clients, file, moment, times))
        for one in handed:
            one.result()
        beside.join()
        _until_loaded(connection, times.uploads)
    accept = max(p95(times.presign), p95(times.confirm))
    return {
        "count": count,
        "a_second": a_second,
        "presign_p95": p95(times.presign),
        "confirm_p50": spread(times.confirm)["p50"],
        "confirm_p95": p95(times.confirm),
        "insert_p95": p95(times.insert),
        "insert_alone_p95": p95(alone),
        "ratio": accept / p95(times.insert),
        "ratio_alone": accept / p95(alone),
    }


def _moments(count: int, a_second: float) -> Iterator[float]:
    """When each is due, on the monotonic clock."""
    start = time.monotonic() + 0.5
    return (start + number / a_second for number in range(count))


class _Clients:
    """For each thread a client of the API, and one of the object store."""

    def __init__(self, system: System) -> None:
        self._system, self._own, self._all = system, threading.local(), ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._all.close()

    @property
    def api(self) -> httpx.Client:
        """This thread's of the API."""
        return self._of_this_thread("api", lambda: self._system.api)

    @property
    def store(self) -> httpx.Client:
        """This thread's of the object store."""
        return self._of_this_thread("store", httpx.Client)

    def _of_this_thread(self, name: str, make: Callable[[], httpx.Client]) -> httpx.Client:
        if not hasattr(self._own, name):
            setattr(self._own, name, self._all.enter_context(make()))
        client: httpx.Client = getattr(self._own, name)
        return client


def _hand_in(clients: _Clients, file: bytes, due: float, times: _Times) -> None:
    place = workload.ask(clients.api, len(file))
    times.presign.append(time.monotonic() - due)
    workload.store(place, file, clients.store.request)
    stored = time.monotonic()
    times.uploads.append(workload.confirm(clients.api, place))
    times.confirm.append(time.monotonic() - stored)


def _inserts(connection: psycopg.Connection[Any], moments: Iterator[float]) -> list[float]:
    """One INSERT and commit at each moment; how long after it each was durable."""
    seconds = []
    for moment in moments:
        time.sleep(max(0.0, moment - time.monotonic()))
        connection.execute(_INSERT, prepare=True)
        seconds.append(time.monotonic() - moment)
    return seconds


@contextmanager
def _bare_table(system: System) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(system.addresses["database"], autocommit=True) as connection:
        connection.execute(f"CREATE TABLE {_TABLE} (id uuid PRIMARY KEY, note text)".encode())
        yield connection
        connection.execute(f"DROP TABLE {_TABLE}".encode())


def _until_loaded(connection: psycopg.Connection[Any], uploads: Sequence[str]) -> None:
    query = b"SELECT count(*) FROM batch_uploads WHERE id = ANY (%s::uuid[]) AND status = 'completed'"
    deadline = time.monotonic() + _END_SECONDS
    while (found := connection.execute(query, [list(uploads)]).fetchone()) != (len(uploads),):
        assert time.monotonic() < deadline, f"{found} of {len(uploads)} accepted uploads are completed"
        time.sleep(0.2)
