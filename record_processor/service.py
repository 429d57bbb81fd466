"""The record processor's loop: take chunks, work them in groups, publish results, acknowledge."""

import time
from collections.abc import Iterable
from itertools import groupby

from record_processor.batch import ChunkInHand, read, unreadable
from record_processor.process import Processor, Settled
from record_processor.recover import Stopped, give_up, settle
from record_processor.settings import ProcessorSlice
from rowstream.errors import Poison, Retryable
from rowstream.kafka.consumer import Consumer, Received
from rowstream.kafka.dead_letters import put_aside
from rowstream.kafka.producer import Producer
from rowstream.kafka.topics import CHUNK_RESULTS
from rowstream.messages import codec
from rowstream.messages.chunk_result import ChunkResult
from rowstream.messages.envelope import Envelope
from rowstream.records import registry
from rowstream.runtime.logging import get_logger
from rowstream.runtime.service import Running

log = get_logger(__name__)

GROUP = "record-processor"
SOURCE = "record_processor"
_POLL_SECONDS = 0.5
_PAUSE_SECONDS = 0.5
_FLUSH_SECONDS = 5.0


class ProcessorService:
    """One record processor."""

    def __init__(
        self,
        *,
        running: Running,
        processor: Processor,
        consumer: Consumer,
        producer: Producer,
        schemas: codec.SchemaStore,
        settings: ProcessorSlice,
    ) -> None:
        self._running, self._processor = running, processor
        self._consumer, self._producer, self._schemas = consumer, producer, schemas
        self._settings = settings

    def run(self) -> None:
        """Work until asked to stop."""
        try:
            while not self._running.stop.is_set():
                self._running.health.beat()
                messages = self._consumer.poll(at_most=self._settings.batch_chunks, timeout=_POLL_SECONDS)
                if messages:
                    self._work(messages)
                self._consumer.measure_lag()
        except Stopped:
            log.info("stopping with work in hand; another processor goes on")
        finally:
            self._producer.flush(_FLUSH_SECONDS)
            self._consumer.close()

    def _work(self, messages: list[Received]) -> None:
        hands = [hand for message in messages if (hand := self._read(message))]
        for group in groups(hands):
            settled = self._settle(group)
            self._running.health.ok("work")
            self._publish(settled.results, {hand.chunk.upload_id: hand.envelope for hand in group})
            for hand in settled.strangers:
                put_aside(self._producer, hand.message, stage="TASK_PUT", error=Poison("no such upload of ours"))
        self._consumer.settle(messages)
        self._consumer.commit()

    def _read(self, message: Received) -> ChunkInHand | None:
        """The chunk in a message; None when it names none and was put aside."""
        deadline = time.monotonic() + self._settings.schema_patience_seconds
        try:
            while True:
                try:
                    return read(message, self._schemas)
                except codec.UnknownSchema as error:
                    if time.monotonic() > deadline:
                        return unreadable(message, Envelope.read(message.headers), str(error))
                    self._pause(str(error))
        except Poison as error:
            put_aside(self._producer, message, stage="VALUE_CONVERTER", error=error)
            return None

    def _settle(self, group: list[ChunkInHand]) -> Settled:
        first = group[0]
        if first.unreadable:
            return give_up(self._processor, first, first.unreadable, pause=self._pause)
        try:
            record_type = registry.find(first.chunk.record_type)
        except registry.UnknownRecordType as error:
            return give_up(self._processor, first, str(error), pause=self._pause)
        return settle(self._processor, group, record_type, pause=self._pause)

    def _publish(self, results: list[ChunkResult], envelopes: dict[object, Envelope]) -> None:
        """Publish, and wait for the broker's word: what is not published would have to be found by the reconciler."""
        waiting = list(results)
        while waiting:
            failed: list[ChunkResult] = []
            for result in waiting:
                self._send(result, envelopes[result.upload_id], failed)
            while self._producer.flush(_FLUSH_SECONDS):
                self._pause("results wait for the broker")
            waiting = failed
            if waiting:
                self._pause("the broker did not take results")

    def _send(self, result: ChunkResult, cause: Envelope, failed: list[ChunkResult]) -> None:
        def report(error: str | None) -> None:
            if error:
                failed.append(result)

        id_ = f"{result.upload_id}/{result.attempt}/{result.chunk_number}/result"
        headers = cause.next("chunk_result", source=SOURCE, id_=id_).headers()
        try:
            self._producer.send(
                CHUNK_RESULTS,
                codec.encode(result),
                key=str(result.upload_id).encode(),
                headers=headers,
                on_delivery=report,
            )
        except Retryable:
            failed.append(result)

    def _pause(self, reason: str) -> None:
        """Wait a moment, a member of the group all the while.

        Raises:
            Stopped: the service is asked to stop.
        """
        self._running.health.beat()
        self._running.health.waiting("work", reason)
        self._consumer.keep_alive()
        if self._running.stop.wait(_PAUSE_SECONDS):
            raise Stopped


def groups(hands: Iterable[ChunkInHand]) -> Iterable[list[ChunkInHand]]:
    """Chunks that can be worked in one transaction: of one record type, its version and one organization.

    The order of each lane is kept. An unreadable chunk, or one of an unknown type, is a group of its own.
    """
    known = registry.record_types()
    place = iter(range(1_000_000))

    def by(hand: ChunkInHand) -> tuple[object, ...]:
        chunk = hand.chunk
        alone = next(place) if hand.unreadable or chunk.record_type not in known else -1
        return str(chunk.organization_id), chunk.record_type, alone

    keyed = sorted(((by(hand), order, hand) for order, hand in enumerate(hands)), key=lambda item: item[:2])
    for _, members in groupby(keyed, key=lambda item: item[0]):
        yield [hand for _, _, hand in members]
