"""Takes batches of messages into the database: reads them, folds them, puts aside what can never be folded.

When `take` returns, everything in the batch is committed or in the dead letters, so it may be acknowledged.
"""

from collections.abc import Callable, Sequence
from uuid import UUID

from sqlalchemy import Engine, exc

from auditor import closing, projection
from auditor.patience import Patience
from auditor.projection import Folded
from rowstream.database.connection import first_line
from rowstream.errors import Poison, Retryable
from rowstream.kafka.dead_letters import put_aside
from rowstream.kafka.producer import Producer
from rowstream.kafka.received import Received
from rowstream.messages import codec
from rowstream.messages.chunk_result import ChunkResult
from rowstream.messages.codec import UnknownSchema
from rowstream.messages.envelope import Envelope
from rowstream.messages.patience import SchemaPatience
from rowstream.messages.upload_failed import UploadFailed
from rowstream.messages.upload_split import UploadSplit
from rowstream.runtime.logging import get_logger
from rowstream.runtime.steps import Step, reached

log = get_logger(__name__)

Told = ChunkResult | UploadSplit | UploadFailed
Read = Callable[[Received, codec.SchemaStore], Told]
# What the database says of values that it cannot store: no later try will succeed.
_REFUSED = (exc.DataError, exc.IntegrityError)
_READING, _FOLDING = "VALUE_CONVERTER", "TASK_PUT"  # stages as Kafka Connect names them
_DELIVERY_SECONDS = 15.0


def read_chunk_result(message: Received, schemas: codec.SchemaStore) -> ChunkResult:
    """The result of a chunk.

    Raises:
        Poison, UnknownSchema: as `codec.decode`.
    """
    return codec.decode(message.value, ChunkResult, schemas)


def read_split_result(message: Received, schemas: codec.SchemaStore) -> UploadSplit | UploadFailed:
    """What became of a file as a whole; which of the two a message is, its header says.

    Raises:
        Poison: it is neither.
        UnknownSchema: as `codec.decode`.
    """
    type_ = Envelope.read(message.headers).type
    if type_ == "rowstream.upload_split":
        return codec.decode(message.value, UploadSplit, schemas)
    if type_ == "rowstream.upload_failed":
        return codec.decode(message.value, UploadFailed, schemas)
    raise Poison(f"a message of type {type_} does not belong here")


class Receiver:
    """Takes one batch at a time; not for use by several threads at once."""

    def __init__(
        self,
        *,
        engine: Engine,
        schemas: codec.SchemaStore,
        make_producer: Callable[[], Producer],
        patience: Patience,
        unknown_schema_seconds: float,
    ) -> None:
        self._engine, self._schemas, self._patience = engine, schemas, patience
        self._make_producer = make_producer
        self._producer: Producer | None = None  # made when the first message must be put aside
        self._schema_patience = SchemaPatience(unknown_schema_seconds)

    def take(self, messages: Sequence[Received], read: Read) -> None:
        """Bring every message of the batch to its place; waits as long as the database is away.

        Raises:
            Stopping: the service is asked to stop; nothing of the batch may be acknowledged.
        """
        readable: list[tuple[Received, Told]] = []
        for message in messages:
            try:
                readable.append((message, self._read(message, read)))
            except Poison as error:
                self._put_aside(message, _READING, error)
        try:
            self._fold(readable)
        except _REFUSED:
            for one in readable:
                self._fold_alone(one)

    def _read(self, message: Received, read: Read) -> Told:
        def once() -> Told:
            try:
                return read(message, self._schemas)
            except UnknownSchema as error:
                if self._schema_patience.is_over():
                    raise Poison(str(error)) from error
                raise

        return self._patience.until_done("schemas", once)

    def _fold_alone(self, one: tuple[Received, Told]) -> None:
        try:
            self._fold([one])
        except _REFUSED as error:
            self._put_aside(one[0], _FOLDING, Poison(f"the database cannot store it: {first_line(error)}"))

    def _fold(self, batch: Sequence[tuple[Received, Told]]) -> None:
        results = [told for _, told in batch if isinstance(told, ChunkResult)]
        woken = {(told.upload_id, told.organization_id) for _, told in batch if not isinstance(told, ChunkResult)}
        folded = self._patience.until_done("database", lambda: self._commit(results, woken))
        reached(Step.RESULTS_FOLDED)
        projection.count(folded)
        for message, told in batch:
            if (told.upload_id, told.organization_id) in folded.strangers:
                self._put_aside(message, _FOLDING, Poison(f"it names no upload of ours: {told.upload_id}"))
        closing.after(self._engine, folded)

    def _commit(self, results: Sequence[ChunkResult], woken: set[tuple[UUID, UUID]]) -> Folded:
        with self._engine.begin() as connection:
            return projection.fold(connection, results, woken)

    def _put_aside(self, message: Received, stage: str, error: Poison) -> None:
        def once() -> None:
            reports: list[str | None] = []
            self._producer = self._producer or self._make_producer()
            put_aside(self._producer, message, stage=stage, error=error, on_delivery=reports.append)
            self._producer.flush(_DELIVERY_SECONDS)
            if reports != [None]:
                raise Retryable(f"the broker did not take a dead letter: {reports[-1] if reports else 'no answer'}")

        self._patience.until_done("broker", once)
