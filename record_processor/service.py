"""The record processor's loop: take chunks, work them in groups, publish results, acknowledge."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from functools import partial

from sqlalchemy.exc import SQLAlchemyError

from record_processor import failure
from record_processor.announce import Announcer
from record_processor.attempts import Tries
from record_processor.batch import ChunkInHand, read, unreadable
from record_processor.doubt import Doubt
from record_processor.process import Processor, Settled
from record_processor.reactions import reason_of
from record_processor.recover import Stopped, begin_try, give_up, patiently, settle, settle_alone, without_a_try
from record_processor.settings import ProcessorSlice
from rowstream.database.connection import retryable_errors
from rowstream.errors import Poison, Retryable
from rowstream.kafka.consumer import Consumer
from rowstream.kafka.dead_letters import put_aside
from rowstream.kafka.delivery import Send, deliver
from rowstream.kafka.producer import OnDelivery, Producer
from rowstream.kafka.received import Received
from rowstream.kafka.topics import CHUNK_RESULTS
from rowstream.messages import codec
from rowstream.messages.chunk_result import ChunkResult
from rowstream.messages.envelope import Envelope
from rowstream.messages.patience import SchemaPatience
from rowstream.records import registry
from rowstream.runtime.logging import get_logger
from rowstream.runtime.service import Running
from rowstream.runtime.steps import Step, reached

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
        announcer: Announcer,
        doubt: Doubt,
        schemas: codec.SchemaStore,
        settings: ProcessorSlice,
    ) -> None:
        self._running, self._processor, self._announcer = running, processor, announcer
        self._doubt = doubt
        self._consumer, self._producer, self._schemas = consumer, producer, schemas
        self._settings = settings
        self._schema_patience = SchemaPatience(settings.schema_patience_seconds)

    def run(self) -> None:
        """Work until asked to stop."""
        try:
            while not self._running.stop.is_set():
                self._running.health.beat()
                messages = self._consumer.poll(at_most=self._settings.batch_chunks, timeout=_POLL_SECONDS)
                if messages:
                    self._work(messages)
                for record_type, why in self._processor.standstill.look():
                    self._running.health.degraded(f"record type {record_type}", why)
                self._consumer.measure_lag()
        except Stopped:
            log.info("stopping with work in hand; another processor goes on")
        except BaseException:
            self._doubt.end_badly()
            raise
        finally:
            self._producer.flush(_FLUSH_SECONDS)
            self._consumer.close()
            self._doubt.leave()

    def _work(self, messages: list[Received]) -> None:
        patiently(self._processor, lambda: self._doubt.enter(messages), self._pause, whatever=True)
        doubted, certain = self._doubt.divide(messages)
        for message in doubted:
            self._work_doubted(message)
        if doubted:
            self._consumer.settle(doubted)
            self._consumer.commit(wait=True)  # what comes next may end this worker: the next one begins there
        hands = [hand for message in certain if (hand := self._read(message))]
        for group in groups(hands):
            self._tell(self._settle(group), group)
        self._running.health.ok("work")
        self._consumer.settle(messages)
        self._consumer.commit()
        reached(Step.OFFSETS_COMMITTED)

    def _work_doubted(self, message: Received) -> None:
        """Work one message that may have ended a worker: its try is counted before its body is even looked at."""
        try:
            account = unreadable(message, Envelope.read(message.headers), "it was not looked at")
        except Poison as error:
            self._deliver([partial(self._send_unreadable, message, error)])
            return
        tries = begin_try(self._processor, account, pause=self._pause)
        settled = without_a_try(self._processor, account, tries, pause=self._pause)
        if settled is None:
            hand = self._read(message)
            settled = self._settle([hand], tries) if hand else Settled()
        self._tell(settled, [account])

    def _tell(self, settled: Settled, group: list[ChunkInHand]) -> None:
        causes = {hand.chunk.upload_id: hand.envelope for hand in group}
        self._deliver(
            [
                *(partial(self._send_result, result, causes[result.upload_id]) for result in settled.results),
                *(partial(self._send_stranger, hand.message) for hand in settled.strangers),
            ]
        )
        reached(Step.RESULTS_PRODUCED)
        self._announcer.announce(settled.accepted, causes, pause=self._pause)
        self._announcer.announce_again(settled.unannounced, pause=self._pause)

    def _read(self, message: Received) -> ChunkInHand | None:
        """The chunk in a message; None when it names none and was put aside."""
        try:
            return self._read_patiently(message)
        except Poison as error:
            self._deliver([partial(self._send_unreadable, message, error)])
            return None

    def _read_patiently(self, message: Received) -> ChunkInHand:
        while True:
            try:
                with retryable_errors():
                    return read(message, self._schemas)
            except codec.UnknownSchema as error:
                if self._schema_patience.is_over():
                    return unreadable(message, Envelope.read(message.headers), str(error))
                self._pause(str(error))
            except Retryable as error:
                self._pause(str(error))
            except Poison:
                raise
            except SQLAlchemyError as error:
                self._pause(reason_of(error))
            except Exception as error:  # noqa: BLE001 - whatever a body does to its readers, it ends none of us
                return unreadable(message, Envelope.read(message.headers), reason_of(error))

    def _settle(self, group: list[ChunkInHand], tries: Tries | None = None) -> Settled:
        first = group[0]
        if first.unreadable:
            return give_up(self._processor, first, failure.unreadable(first.unreadable), pause=self._pause)
        try:
            record_type = registry.find(first.chunk.record_type)
        except registry.UnknownRecordType as error:
            return give_up(self._processor, first, failure.unknown_type(error), pause=self._pause)
        if tries:
            return settle_alone(self._processor, first, record_type, pause=self._pause, tries=tries)
        return settle(self._processor, group, record_type, pause=self._pause)

    def _deliver(self, sends: list[Send]) -> None:
        """Wait for the broker's word on each: what is not published would have to be found by the reconciler."""
        deliver(self._producer, sends, pause=self._pause)

    def _send_result(self, result: ChunkResult, cause: Envelope, on_delivery: OnDelivery) -> None:
        id_ = f"{result.upload_id}/{result.attempt}/{result.chunk_number}/result"
        headers = cause.next("chunk_result", source=SOURCE, id_=id_).headers()
        key = str(result.upload_id).encode()
        self._producer.send(CHUNK_RESULTS, codec.encode(result), key=key, headers=headers, on_delivery=on_delivery)

    def _send_stranger(self, message: Received, on_delivery: OnDelivery) -> None:
        error = Poison("no such upload of ours")
        put_aside(self._producer, message, stage="TASK_PUT", error=error, on_delivery=on_delivery)

    def _send_unreadable(self, message: Received, error: Poison, on_delivery: OnDelivery) -> None:
        put_aside(self._producer, message, stage="VALUE_CONVERTER", error=error, on_delivery=on_delivery)

    def _pause(self, reason: str, seconds: float = _PAUSE_SECONDS) -> None:
        """Wait so long, a member of the group all the while.

        Raises:
            Stopped: the service is asked to stop.
        """
        self._running.health.beat()
        self._running.health.waiting("work", reason)
        self._consumer.keep_alive()
        if self._running.stop.wait(seconds):
            raise Stopped


def groups(hands: Iterable[ChunkInHand]) -> Iterator[list[ChunkInHand]]:
    """Chunks that can be worked in one transaction: of one record type, its version and one organization.

    The order of each lane is kept. An unreadable chunk, or one of an unknown type, is a group of its own: what came
    before it is worked before it, so that its lane waits for it by then.
    """
    known = registry.record_types()
    together: list[ChunkInHand] = []
    for hand in hands:
        if hand.unreadable or hand.chunk.record_type not in known:
            yield from _by_kind(together)
            yield [hand]
            together = []
        else:
            together.append(hand)
    yield from _by_kind(together)


def _by_kind(hands: Iterable[ChunkInHand]) -> Iterator[list[ChunkInHand]]:
    kinds: defaultdict[tuple[object, ...], list[ChunkInHand]] = defaultdict(list)
    for hand in hands:
        chunk = hand.chunk
        kinds[chunk.organization_id, chunk.record_type, chunk.record_type_version].append(hand)
    yield from kinds.values()
