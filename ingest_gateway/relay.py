"""Publishes everybody's outbox.

A row is taken with FOR UPDATE SKIP LOCKED, so several relays share the work; it is marked as published in the same
transaction, and only when the broker has reported its delivery. A relay that dies in between publishes the row again,
which every reader tolerates. Rows are chosen by `published_at IS NULL` and never by "greater than the last one", which
would skip those of transactions that commit late.
"""

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Engine, Row, delete, func, select, text, update

from rowstream.database.connection import driver, retryable_errors
from rowstream.database.outbox import CHANNEL
from rowstream.database.tables import outbox
from rowstream.errors import Poison, Retryable
from rowstream.kafka.producer import Producer
from rowstream.runtime.logging import get_logger
from rowstream.runtime.metrics import OUTBOX_AGE, OUTBOX_PUBLISHED
from rowstream.runtime.steps import Step, reached

log = get_logger(__name__)

_IDLE_SECONDS = 1.0
_GATHER_SECONDS = 0.02
_AGE_SECONDS = 1.0
_TIDY_SECONDS = 60.0
_TIDY_ROWS = 5_000
_LONGEST_PAUSE = 5.0


class Relay:
    """One relay; `run` it in a thread of its own.

    Args:
        engine: acts as the relay's role.
        producer: used by this relay alone.
        batch: rows published in one transaction.
        keep_seconds: how long a published row is kept.
        delivery_seconds: after which every delivery was reported, one way or the other.
        beat: called at each turn of the loop.
    """

    def __init__(
        self,
        engine: Engine,
        producer: Producer,
        *,
        batch: int,
        keep_seconds: int,
        delivery_seconds: float,
        beat: Callable[[], None] = lambda: None,
    ) -> None:
        self._engine, self._producer = engine, producer
        self._batch, self._keep_seconds, self._delivery_seconds = batch, keep_seconds, delivery_seconds
        self._beat = beat
        self._tidied = time.monotonic()
        self._age_told = -_AGE_SECONDS

    def run(self, stop: threading.Event) -> None:
        """Publish until `stop`; a broker or a database that goes away is waited for."""
        pause = 0.0
        while not stop.is_set():
            try:
                with retryable_errors(), self._engine.connect() as connection:
                    self._follow(connection.execution_options(isolation_level="AUTOCOMMIT"), stop)
                pause = 0.0
            except Retryable as error:
                pause = min(_LONGEST_PAUSE, pause * 2 + 0.2)
                log.warning("outbox not published", reason=str(error), again_in_seconds=pause)
                self._beat()
                stop.wait(pause)

    def publish(self) -> tuple[int, int]:
        """Publish one batch; returns how many rows were taken and how many were delivered."""
        with self._engine.begin() as connection:
            rows = connection.execute(self._waiting()).all()
            delivered = self._deliver(rows)
            if delivered:
                reached(Step.OUTBOX_PRODUCED)
                published = {"published_at": func.clock_timestamp()}
                connection.execute(update(outbox).where(outbox.c.id.in_(delivered)).values(published))
        if delivered:
            reached(Step.OUTBOX_MARKED)
        return len(rows), len(delivered)

    def tidy(self) -> int:
        """Remove rows that were published long enough ago; returns how many."""
        old = outbox.c.published_at < func.clock_timestamp() - text(":s * interval '1 second'").bindparams(
            s=self._keep_seconds
        )
        removed = 0
        while True:
            some = select(outbox.c.id).where(old).limit(_TIDY_ROWS).with_for_update(skip_locked=True)
            with self._engine.begin() as connection:
                count = connection.execute(delete(outbox).where(outbox.c.id.in_(some))).rowcount
            removed += count
            if count < _TIDY_ROWS:
                return removed

    def _follow(self, listener: Connection, stop: threading.Event) -> None:
        """Publish what there is, then again whenever something is announced, or after a second.

        A transaction that announces is published at once on a system that is idle. On a busy one, where each would cost
        two transactions of the relay, those of a moment go together.
        """
        listener.execute(text(f"LISTEN {CHANNEL}"))
        pause = 0.0
        while not stop.is_set():
            self._beat()
            begun = time.monotonic()
            taken, delivered = self.publish()
            if begun - self._age_told >= _AGE_SECONDS:
                self._age_told = begun
                OUTBOX_AGE.set(_age(listener))
            if taken > delivered:
                log.warning("messages not delivered, they stay in the outbox", messages=taken - delivered)
            if taken and not delivered:
                pause = min(_LONGEST_PAUSE, pause * 2 + 0.2)
                stop.wait(pause)
                continue
            pause = 0.0
            if time.monotonic() - self._tidied > _TIDY_SECONDS:
                self._tidied = time.monotonic()
                self.tidy()
            if delivered < self._batch:
                for _ in driver(listener).notifies(timeout=_IDLE_SECONDS, stop_after=1):
                    stop.wait(max(0.0, begun + _GATHER_SECONDS - time.monotonic()))

    def _waiting(self) -> Any:
        columns = (outbox.c.id, outbox.c.topic, outbox.c.message_key, outbox.c.payload, outbox.c.headers)
        waiting = select(*columns).where(outbox.c.published_at.is_(None)).order_by(outbox.c.created_at)
        return waiting.limit(self._batch).with_for_update(skip_locked=True)

    def _deliver(self, rows: Sequence[Row[Any]]) -> list[UUID]:
        """Send the rows and wait for the broker's reports; returns those that were delivered."""
        delivered: list[UUID] = []

        def report_for(row: Row[Any]) -> Callable[[str | None], None]:
            def report(failure: str | None) -> None:
                if failure is None:
                    delivered.append(row.id)
                    OUTBOX_PUBLISHED.labels(row.topic).inc()

            return report

        for row in rows:
            try:
                self._producer.send(
                    row.topic, row.payload, key=row.message_key, headers=row.headers, on_delivery=report_for(row)
                )
            except (Poison, Retryable) as error:
                log.warning("a message of the outbox was not taken", id=str(row.id), topic=row.topic, reason=str(error))
        if rows:
            self._producer.flush(self._delivery_seconds)
        return list(delivered)


def _age(connection: Connection) -> float:
    oldest = select(func.min(outbox.c.created_at)).where(outbox.c.published_at.is_(None)).scalar_subquery()
    age = connection.execute(select(func.extract("epoch", func.clock_timestamp() - oldest))).scalar()
    return max(0.0, float(age or 0))
