"""The splitter's loop: note what was accepted, and let the slots know."""

import threading
from collections.abc import Callable

from sqlalchemy import Engine, exc

from rowstream.database.connection import first_line, is_away
from rowstream.errors import Poison, Retryable
from rowstream.kafka.consumer import Consumer
from rowstream.kafka.dead_letters import put_aside
from rowstream.kafka.delivery import deliver
from rowstream.kafka.producer import OnDelivery, Producer
from rowstream.kafka.received import Received
from rowstream.messages import codec
from rowstream.messages.patience import SchemaPatience
from rowstream.messages.upload_accepted import UploadAccepted
from rowstream.runtime.logging import get_logger
from rowstream.runtime.service import Running
from rowstream.runtime.steps import Step, reached
from rowstream.storage.s3 import S3Store
from splitter.sender import Stopping
from splitter.settings import SplitterSlice
from splitter.slots import Slots
from splitter.waiting import enqueue, is_of, tidy

log = get_logger(__name__)

GROUP = "splitter"
_AWAY_SECONDS = 1.0


class SplitterService:
    """One splitter: a consumer of upload events, and slots that each split one upload at a time."""

    def __init__(
        self,
        *,
        running: Running,
        engine: Engine,
        store: S3Store,
        consumer: Consumer,
        make_producer: Callable[[], Producer],
        schemas: codec.SchemaStore,
        settings: SplitterSlice,
    ) -> None:
        self._running, self._engine = running, engine
        self._consumer, self._schemas, self._settings = consumer, schemas, settings
        self._slots = Slots(running=running, engine=engine, store=store, make_producer=make_producer, settings=settings)
        self._dead_letters = make_producer()
        self._schema_patience = SchemaPatience(settings.schema_patience_seconds)

    def run(self) -> None:
        """Work until asked to stop; then give the leases back.

        Raises:
            Exception: whatever a slot failed with that nobody foresaw; the others have stopped.
        """
        self._slots.start()
        threading.Thread(target=self._tidy, name="tidy", daemon=True).start()
        try:
            while not self._running.stop.is_set():
                self._running.health.beat()
                self._take_in(self._consumer.poll(at_most=100, timeout=0.5))
                self._consumer.measure_lag()
        finally:
            self._running.stop.set()
            self._slots.join()
            self._consumer.close()
        if self._slots.fault:
            raise self._slots.fault

    def _take_in(self, messages: list[Received]) -> None:
        for message in messages:
            try:
                self._take_in_one(message)
            except Stopping:
                return
            self._consumer.settle([message])
        if messages:
            self._running.health.ok("intake")
            self._consumer.commit()
            self._slots.wake()

    def _take_in_one(self, message: Received) -> None:
        while True:
            try:
                self._enqueue(message)
            except (Retryable, exc.SQLAlchemyError) as error:
                if not (isinstance(error, Retryable) or is_away(error)):
                    raise
                self._wait(first_line(error))
            else:
                return

    def _enqueue(self, message: Received) -> None:
        try:
            accepted = codec.decode(message.value, UploadAccepted, self._schemas)
        except codec.UnknownSchema as error:
            if not self._schema_patience.is_over():
                raise
            self._put_aside(message, error)
        except Poison as error:
            self._put_aside(message, error)
        else:
            with self._engine.begin() as connection:
                ours = is_of(connection, accepted.upload_id, accepted.organization_id)
                if ours:
                    enqueue(connection, accepted.upload_id)
            if not ours:
                self._put_aside(message, Poison("no such upload of ours"), stage="TASK_PUT")
            reached(Step.UPLOAD_ENQUEUED)

    def _put_aside(self, message: Received, error: Exception, stage: str = "VALUE_CONVERTER") -> None:
        def send(on_delivery: OnDelivery) -> None:
            put_aside(self._dead_letters, message, stage=stage, error=error, on_delivery=on_delivery)

        deliver(self._dead_letters, [send], pause=self._wait)

    def _wait(self, reason: str) -> None:
        """Wait a moment, a member of the group all the while.

        Raises:
            Stopping: the service is asked to stop.
        """
        if self._running.stop.is_set():
            raise Stopping
        self._running.health.beat()
        self._running.health.waiting("intake", reason)
        self._consumer.keep_alive(_AWAY_SECONDS)

    def _tidy(self) -> None:
        while not self._running.stop.wait(self._settings.poll_seconds):
            try:
                tidy(self._engine)
            except exc.SQLAlchemyError as error:
                self._running.health.waiting("database", first_line(error))
