"""The outbox's relay, on a real database and a real broker that goes away and comes back."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

from ingest_gateway.relay import Relay
from rowstream.database.connection import RELAY_ROLE
from rowstream.database.keys import DEFAULT_ORGANIZATION
from rowstream.kafka.producer import Producer
from rowstream.kafka.topics import UPLOAD_STATUS
from rowstream.runtime import steps
from rowstream.runtime.metrics import OUTBOX_AGE
from rowstream.runtime.steps import Step
from tests import servers
from tests.engines import engine_of


def put(connection: psycopg.Connection[Any], *payloads: str) -> None:
    for payload in payloads:
        connection.execute(
            "INSERT INTO outbox (id, organization_id, topic, message_key, payload, headers)"
            " VALUES (gen_random_uuid(), %s, %s, 'key', %s, '{\"ce_id\": \"1\"}')",
            (DEFAULT_ORGANIZATION, UPLOAD_STATUS, payload.encode()),
        )
        connection.execute("SELECT pg_notify('rowstream_outbox', '')")


def waiting(url: str) -> int:
    with psycopg.connect(url) as connection:
        row = connection.execute("SELECT count(*) FROM outbox WHERE published_at IS NULL").fetchone()
    assert row
    return int(row[0])


def published(bootstrap_servers: str, at_least: int) -> list[str]:
    """What is in the topic."""
    return [
        (message.value() or b"").decode() for message in servers.messages_in(bootstrap_servers, UPLOAD_STATUS, at_least)
    ]


@contextmanager
def relaying(url: str, bootstrap_servers: str, *, relays: int = 1, batch: int = 500) -> Iterator[list[Relay]]:
    """Relays that run in threads."""
    stop = threading.Event()
    with engine_of(url, role=RELAY_ROLE, pool_size=relays * 2) as engine:
        made = [
            Relay(
                engine,
                Producer(servers.kafka_settings(bootstrap_servers)),
                batch=batch,
                keep_seconds=3_600,
                delivery_seconds=5,
            )
            for _ in range(relays)
        ]
        threads = [threading.Thread(target=relay.run, args=(stop,), daemon=True) for relay in made]
        for thread in threads:
            thread.start()
        try:
            yield made
        finally:
            stop.set()
            for thread in threads:
                thread.join(20)
                assert not thread.is_alive()


def test_what_is_stored_is_published_once_with_key_and_headers(database_url: str, own_broker: servers.Server) -> None:
    with relaying(database_url, own_broker.address), psycopg.connect(database_url) as connection:
        put(connection, "a", "b")
        connection.commit()
        servers.until(lambda: waiting(database_url) == 0)
    messages = servers.messages_in(own_broker.address, UPLOAD_STATUS, 2)
    assert sorted(message.value() or b"" for message in messages) == [b"a", b"b"]
    assert {message.key() for message in messages} == {b"key"}
    assert all(message.headers() == [("ce_id", b"1")] for message in messages)


def test_it_reports_what_is_delivered_before_and_after_it_is_marked(
    database_url: str, own_broker: servers.Server
) -> None:
    seen: list[tuple[Step, int]] = []
    steps.observe(lambda step: seen.append((step, waiting(database_url))))
    try:
        with relaying(database_url, own_broker.address), psycopg.connect(database_url) as connection:
            put(connection, "a", "b")
            connection.commit()
            servers.until(lambda: len(seen) == 2)
    finally:
        steps.observe(lambda _: None)
    assert seen == [(Step.OUTBOX_PRODUCED, 2), (Step.OUTBOX_MARKED, 0)]


def test_an_idle_relay_wakes_at_once(database_url: str, own_broker: servers.Server) -> None:
    with relaying(database_url, own_broker.address), psycopg.connect(database_url, autocommit=True) as connection:
        put(connection, "first")
        servers.until(lambda: waiting(database_url) == 0)
        time.sleep(0.1)
        delays = []
        for n in range(5):
            begun = time.monotonic()
            put(connection, str(n))
            while waiting(database_url):
                time.sleep(0.005)
            delays.append(time.monotonic() - begun)
    assert sorted(delays)[2] < 0.5, "a relay that only looks every second takes half of one at the median"


def test_what_comes_in_quick_succession_goes_together(database_url: str, own_broker: servers.Server) -> None:
    rounds: list[Step] = []
    with relaying(database_url, own_broker.address), psycopg.connect(database_url, autocommit=True) as connection:
        put(connection, "first")
        servers.until(lambda: waiting(database_url) == 0)
        steps.observe(rounds.append)
        try:
            begun = time.monotonic()
            for n in range(300):  # each a transaction, announced twice
                put(connection, str(n))
            servers.until(lambda: waiting(database_url) == 0)
            seconds = time.monotonic() - begun
        finally:
            steps.observe(lambda _: None)
    assert rounds.count(Step.OUTBOX_MARKED) <= seconds / 0.02 + 1


def test_what_is_not_committed_or_rolled_back_is_not_published(database_url: str, own_broker: servers.Server) -> None:
    with relaying(database_url, own_broker.address), psycopg.connect(database_url) as connection:
        put(connection, "never")
        connection.rollback()
        put(connection, "kept")
        connection.commit()
        servers.until(lambda: waiting(database_url) == 0)
        assert published(own_broker.address, 1) == ["kept"]


def test_a_transaction_that_commits_late_is_not_skipped(database_url: str, own_broker: servers.Server) -> None:
    with (
        relaying(database_url, own_broker.address),
        psycopg.connect(database_url) as late,
        psycopg.connect(database_url) as early,
    ):
        put(late, "older, committed later")
        put(early, "younger, committed first")
        early.commit()
        assert published(own_broker.address, 1) == ["younger, committed first"]
        late.commit()
        servers.until(lambda: waiting(database_url) == 0)
        assert len(published(own_broker.address, 2)) == 2


def test_a_row_is_marked_only_when_the_broker_has_it(database_url: str, own_broker: servers.Server) -> None:
    with relaying(database_url, own_broker.address), psycopg.connect(database_url) as connection:
        put(connection, "before")
        connection.commit()
        servers.until(lambda: waiting(database_url) == 0)
        own_broker.kill()
        put(connection, "while away")
        connection.commit()
        time.sleep(4)  # longer than the delivery timeout
        assert waiting(database_url) == 1
        own_broker.start()
        servers.until(lambda: waiting(database_url) == 0, seconds=30)
    assert published(own_broker.address, 1) == ["while away"], "the broker lost what it had, and only that"


def test_two_relays_share_the_work_and_publish_nothing_twice(database_url: str, own_broker: servers.Server) -> None:
    expected = sorted(f"{n:04}" for n in range(600))
    with psycopg.connect(database_url) as connection:
        put(connection, *expected)
    with relaying(database_url, own_broker.address, relays=2, batch=50):
        servers.until(lambda: waiting(database_url) == 0)
    assert sorted(published(own_broker.address, 600)) == expected


def test_a_row_that_another_relay_holds_is_left_to_it(database_url: str, broker: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        name = database_url.rpartition("/")[2]
        connection.execute(sql.SQL("ALTER DATABASE {} SET lock_timeout = '2s'").format(sql.Identifier(name)))
    with engine_of(database_url, role=RELAY_ROLE, pool_size=1) as engine:
        relay = Relay(
            engine, Producer(servers.kafka_settings(broker)), batch=10, keep_seconds=3_600, delivery_seconds=5
        )
        with psycopg.connect(database_url) as connection:
            put(connection, "held", "free")
            connection.commit()
            connection.execute("SELECT 1 FROM outbox WHERE payload = 'held' FOR UPDATE")
            assert relay.publish() == (1, 1)
            connection.rollback()
            assert relay.publish() == (1, 1)
            assert relay.publish() == (0, 0)


def test_a_relay_that_dies_before_its_commit_leaves_the_row_to_the_next(database_url: str, broker: str) -> None:
    """The delivery is repeated, which readers tolerate; what must never happen is that it is forgotten."""
    with engine_of(database_url, role=RELAY_ROLE, pool_size=1) as engine:
        producer = Producer(servers.kafka_settings(broker))
        relay = Relay(engine, producer, batch=10, keep_seconds=3_600, delivery_seconds=5)
        with psycopg.connect(database_url, autocommit=True) as connection:
            put(connection, "again")
            connection.execute("REVOKE UPDATE (published_at) ON outbox FROM rowstream_relay")
            connection.execute("REVOKE UPDATE ON outbox FROM rowstream_relay")
            with pytest.raises(Exception, match="permission denied"):
                relay.publish()
            assert waiting(database_url) == 1
            connection.execute("GRANT UPDATE ON outbox TO rowstream_relay")
            assert relay.publish() == (1, 1)


def test_rows_published_long_ago_are_removed(database_url: str, broker: str) -> None:
    with engine_of(database_url, role=RELAY_ROLE, pool_size=1) as engine:
        relay = Relay(
            engine, Producer(servers.kafka_settings(broker)), batch=10, keep_seconds=3_600, delivery_seconds=5
        )
        with psycopg.connect(database_url) as connection:
            put(connection, "waits", "old", "young")
            connection.execute("UPDATE outbox SET published_at = now() - interval '61 minutes' WHERE payload = 'old'")
            connection.execute("UPDATE outbox SET published_at = now() - interval '59 minutes' WHERE payload = 'young'")
            connection.commit()
            assert relay.tidy() == 1
            left = connection.execute("SELECT convert_from(payload, 'UTF8') FROM outbox ORDER BY 1").fetchall()
        assert left == [("waits",), ("young",)]


def test_the_age_of_the_oldest_waiting_row_is_measured(database_url: str, own_broker: servers.Server) -> None:
    own_broker.kill()
    with psycopg.connect(database_url) as connection:
        put(connection, "waits")
        connection.execute("UPDATE outbox SET created_at = now() - interval '10 minutes'")
    with relaying(database_url, own_broker.address):
        servers.until(lambda: 600 <= OUTBOX_AGE._value.get() < 660)
        own_broker.start()
        servers.until(lambda: OUTBOX_AGE._value.get() == 0, seconds=30)
    assert waiting(database_url) == 0


def test_a_database_that_goes_away_is_waited_for(tmp_path: Path, broker: str) -> None:
    with servers.postgres_server(tmp_path) as postgres, postgres.fresh_database() as url, relaying(url, broker):
        postgres.kill()
        time.sleep(0.5)
        postgres.start()
        with psycopg.connect(url) as connection:
            put(connection, "after the fault")
            moment = connection.execute("SELECT now()").fetchone()
        servers.until(lambda: waiting(url) == 0, seconds=20)
        with psycopg.connect(url) as connection:
            (published,) = connection.execute("SELECT published_at >= %s FROM outbox", moment).fetchall()
    assert published == (True,)
