"""Takes in objects of which their store tells; the event only wakes, what the store has now decides.

Events come twice, late and out of order. What was last taken of each key is kept in `s3_objects_taken`, and changed
only if it still is what the decision was made on, in the transaction that accepts the upload: so each version of an
object is taken once, however many gateways hear of it. An object that is overwritten before anybody looked is taken
once, as it is then.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from sqlalchemy import Connection, func, select, update
from sqlalchemy.dialects.postgresql import insert as insert_or_ignore
from starlette.status import HTTP_413_CONTENT_TOO_LARGE

from ingest_gateway import accept, references
from ingest_gateway.doer import Actor, Doer
from ingest_gateway.gateway import Gateway
from ingest_gateway.quotas import OverQuota
from ingest_gateway.s3_events import BadEvent, Kind, S3Event, is_older, read
from ingest_gateway.sources import NoSuchOrganization, SourcesFile, organization_of
from rowstream.database.arrival_tables import s3_objects_taken
from rowstream.errors import Poison, Retryable
from rowstream.messages.upload_request import UploadRequest
from rowstream.runtime.logging import get_logger
from rowstream.runtime.metrics import S3_EVENTS
from rowstream.runtime.sources import S3Source
from rowstream.runtime.steps import Step, reached
from rowstream.storage.store import ObjectInfo

log = get_logger(__name__)

_TRIES = 5
_LATER_SECONDS = 60


class Outcome(StrEnum):
    """What became of an event."""

    TAKEN = "taken"
    AGAIN = "taken_before"
    OLDER = "out_of_order"
    NOT_OURS = "not_ours"
    GONE = "gone"
    OTHER = "no_new_object"
    TEST = "test"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Teller:
    """Who tells of objects, and as part of which request.

    Attributes:
        actor: The key that it came with; None for a store that was set up to tell, which the source's name stands for.
        only_for: The organization whose objects it may tell of; None for all of the sources file.
        address: From where.
        correlation_id: Of the request or message.
        traceparent: Of the same.
    """

    actor: Actor | None = None
    only_for: UUID | None = None
    address: str | None = None
    correlation_id: str
    traceparent: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """What was last taken of a key; the sequencer is unknown where the event told of another version."""

    sequencer: str | None
    version_id: str | None
    etag: str | None
    batch_upload_id: UUID | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What became of the events of one message, and why some were refused.

    Attributes:
        outcomes: How many came to what.
        reasons: Why each refused one was.
        later: Seconds after which one may be taken in that is refused now; None if there is none such.
    """

    outcomes: Counter[Outcome]
    reasons: tuple[str, ...]
    later: int | None


class _ChangedMeanwhile(Exception):
    """Somebody else was quicker: all is looked at again."""


def hear(gateway: Gateway, sources: SourcesFile, body: bytes | str, teller: Teller) -> Told:
    """Take in what a store's message tells of.

    Raises:
        BadEvent: it is no message of a store.
        Retryable: as `take_all`.
    """
    try:
        events = read(body)
    except BadEvent:
        S3_EVENTS.labels(Outcome.REFUSED.value).inc()
        raise
    return take_all(gateway, sources, events, teller)


def take_all(gateway: Gateway, sources: SourcesFile, events: Iterable[S3Event], teller: Teller) -> Told:
    """Take in what the events tell of; one that is refused costs only itself.

    Raises:
        Retryable: the database or the store does not answer; what was taken stays so, all of it may come again.
    """
    outcomes: Counter[Outcome] = Counter()
    reasons, later = [], None
    for event in events:
        try:
            outcome = take(gateway, sources, event, teller)
        except Poison as error:
            outcome = Outcome.REFUSED
            reasons.append(str(error))
            if isinstance(error, OverQuota) and error.status != HTTP_413_CONTENT_TOO_LARGE:
                later = max(later or 1, error.retry_after or _LATER_SECONDS)
            log.warning("an object is refused", bucket=event.bucket, reason=str(error))
        outcomes[outcome] += 1
        S3_EVENTS.labels(outcome.value).inc()
    return Told(outcomes=outcomes, reasons=tuple(reasons), later=later)


def take(gateway: Gateway, sources: SourcesFile, event: S3Event, teller: Teller) -> Outcome:
    """Take in the object that an event tells of, unless that was done before.

    Raises:
        Poison: the object may not be taken in, or the event cannot be read; says why.
        Retryable: the database or the store does not answer.
    """
    if event.kind is Kind.BAD:
        raise references.BadReference(event.fault)
    if event.kind is not Kind.CREATED:
        return Outcome.TEST if event.kind is Kind.TEST else Outcome.OTHER
    wanted = list(_wanted(gateway, sources, event, teller))
    if not wanted:
        return Outcome.NOT_OURS
    for _ in range(_TRIES):
        try:
            return _take_one(gateway, event, teller, wanted)
        except _ChangedMeanwhile:
            continue
    raise Retryable(f"events of s3://{event.bucket}/{event.key} come too fast")


def judge(event: S3Event, taken: Taken | None, found: ObjectInfo) -> Outcome:
    """What is to become of an event: `taken` is what was last taken of its key, `found` what the store has now."""
    if taken is None:
        return Outcome.TAKEN
    if taken.version_id and found.version_id:
        same = taken.version_id == found.version_id
    else:  # without versions, the same bytes written again are known by their later event alone
        written_again = is_older(taken.sequencer, event.sequencer) and describes(event, found)
        same = taken.etag == found.etag and not written_again
    if same:
        return Outcome.AGAIN
    if is_older(event.sequencer, taken.sequencer) and not describes(event, found):
        return Outcome.OLDER
    return Outcome.TAKEN  # also an older one that tells of what is there: some stores begin to count anew


def describes(event: S3Event, found: ObjectInfo) -> bool:
    """Whether an event tells of the very version that the store has now."""
    if event.version_id and found.version_id:
        return event.version_id == found.version_id
    return event.etag in {None, found.etag}


@dataclass(frozen=True, slots=True)
class _Wanted:
    """An object that an event may mean, and whose it would be."""

    source: S3Source
    organization_id: UUID
    request: UploadRequest


def _wanted(gateway: Gateway, sources: SourcesFile, event: S3Event, teller: Teller) -> Iterator[_Wanted]:
    """What the event may mean: the decoded key, and the key as it was written, since some stores do not encode."""
    own = gateway.settings.storage.bucket
    for key in dict.fromkeys((event.key, event.key_as_written)):
        source = sources.now().of_object(event.bucket, key)
        if source is None or (event.bucket == own and key.startswith(references.OWN_PLACES)):
            continue
        try:
            organization_id = organization_of(gateway, source)
        except NoSuchOrganization as error:
            if teller.only_for is not None:
                continue  # it is not theirs, and no business of theirs
            raise references.BadReference(f"the source {source.name}: {error}; correct the sources file") from error
        if teller.only_for in {None, organization_id}:
            request = UploadRequest(record_type=source.record_type, bucket=event.bucket, key=key)
            references.check_place(request, frozenset({source.bucket}), own)
            yield _Wanted(source, organization_id, request)


def _take_one(gateway: Gateway, event: S3Event, teller: Teller, wanted: list[_Wanted]) -> Outcome:
    """Take the object in that the event means, if it is there.

    Raises:
        _ChangedMeanwhile: somebody else took one of this key.
    """
    before = {one: _taken(gateway, one) for one in wanted}  # known before the store is looked at
    there = _there(gateway, event, wanted)
    if there is None:
        log.info("an object is gone again", bucket=event.bucket, key=event.key)
        return Outcome.GONE
    one, found = there
    outcome = judge(event, before[one], found)
    if outcome is not Outcome.TAKEN:
        return outcome
    handed = accept.Handed(record_type=one.source.record_type, filename=references.filename_of(one.request))
    origin = _origin(one, event, before[one], found, teller)
    bucket, key = one.request.bucket, one.request.key
    with gateway.acting_for(one.organization_id) as connection:
        upload_id = accept.take_in(connection, origin, handed, bucket=bucket, key=key, found=found)
        if upload_id is None:
            return Outcome.AGAIN
        _remember(connection, one, event, before[one], found, upload_id)
    reached(Step.UPLOAD_ACCEPTED)
    log.info("object taken in", upload_id=str(upload_id), source=one.source.name)
    return Outcome.TAKEN


def _there(gateway: Gateway, event: S3Event, wanted: list[_Wanted]) -> tuple[_Wanted, ObjectInfo] | None:
    """The object that the event means and what the store has of it; None if it is not there (any more)."""
    limit = gateway.settings.gateway.max_upload_bytes
    some = None
    for one in wanted:
        try:
            found = references.find(gateway.store, one.request, max_bytes=limit)
        except references.NotThere:
            continue
        if describes(event, found):
            return one, found
        some = some or (one, found)
    return some


def _origin(one: _Wanted, event: S3Event, before: Taken | None, found: ObjectInfo, teller: Teller) -> accept.Origin:
    """Who hands in, and which event: one for each version, and where there are none for each writing."""
    name = found.version_id
    if not name:
        writing = event.sequencer if describes(event, found) else None
        name = f"{found.etag}#{writing or (before.batch_upload_id if before else '')}"
    by = Doer(
        organization_id=one.organization_id,
        actor=teller.actor or Actor(kind="system", id=None, name=one.source.name),
        way="s3_event",
        address=teller.address,
        correlation_id=teller.correlation_id,
    )
    return accept.Origin(
        by=by,
        source=f"s3://{one.request.bucket}",
        event_id=f"{one.request.key}@{name}",
        traceparent=teller.traceparent,
    )


def _taken(gateway: Gateway, one: _Wanted) -> Taken | None:
    columns = s3_objects_taken.c
    query = select(columns.sequencer, columns.version_id, columns.etag, columns.batch_upload_id).where(
        columns.organization_id == one.organization_id,
        columns.bucket == one.request.bucket,
        columns.key == one.request.key,
    )
    with gateway.acting_for(one.organization_id) as connection:
        row = connection.execute(query).mappings().one_or_none()
    return Taken(**row) if row else None


def _remember(
    connection: Connection, one: _Wanted, event: S3Event, before: Taken | None, found: ObjectInfo, upload_id: UUID
) -> None:
    """Write down what was taken, in the transaction that takes it.

    Raises:
        _ChangedMeanwhile: it is not what it was when the decision was made.
    """
    columns = s3_objects_taken.c
    place = {"organization_id": one.organization_id, "bucket": one.request.bucket, "key": one.request.key}
    values = {
        "sequencer": event.sequencer if describes(event, found) else None,
        "version_id": found.version_id,
        "etag": found.etag,
        "batch_upload_id": upload_id,
    }
    if before is None:
        made = insert_or_ignore(s3_objects_taken).values(**place, **values).on_conflict_do_nothing()
        changed = connection.execute(made.returning(columns.key)).one_or_none()
    else:
        change = (
            update(s3_objects_taken)
            .where(
                *(columns[name] == value for name, value in place.items()),
                columns.batch_upload_id == before.batch_upload_id,
            )
            .values(**values, taken_at=func.clock_timestamp())
        )
        changed = connection.execute(change.returning(columns.key)).one_or_none()
    if changed is None:
        raise _ChangedMeanwhile
