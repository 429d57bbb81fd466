"""Reads what object stores tell of their objects: S3's own notifications, and EventBridge's. Pure.

Stores that speak like S3 send its notifications too (versitygw, MinIO, Ceph), with small differences: the key may be
URL-encoded, as AWS does it, or not. SNS wraps these in messages of its own (`ingest_gateway.sns`).
Sources: Amazon S3 User Guide, "Event message structure" and "EventBridge event message structure".
"""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any
from urllib.parse import unquote_plus

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from ingest_gateway.object_keys import check_key, is_folder
from rowstream.errors import Poison

MOST_RECORDS = 1_000
_LONGEST_KEY = 1_024
_BUCKET = r"^[A-Za-z0-9][A-Za-z0-9._-]{1,254}$"
_TEST = "s3:TestEvent"

_Short = Annotated[str, StringConstraints(max_length=200)]
_Key = Annotated[str, StringConstraints(min_length=1, max_length=3 * _LONGEST_KEY)]
_Version = Annotated[str, StringConstraints(max_length=_LONGEST_KEY)]
_Sequencer = Annotated[str, StringConstraints(pattern=r"^[0-9A-Fa-f]{0,64}$")]


class BadEvent(Poison):
    """What came is no event of an object store; says what is wrong, without its values."""


class Kind(StrEnum):
    """What an event tells."""

    CREATED = "created"
    TEST = "test"
    OTHER = "other"
    BAD = "bad"


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Event:
    """One thing that happened to one object.

    Attributes:
        kind: What happened; only of CREATED the rest is filled in, but for `fault`.
        bucket: Where.
        key: The object's key, decoded.
        key_as_written: The same as it stood in the event, which some stores do not encode.
        version_id: The object's version, where the bucket has versions.
        etag: Its entity tag, without quotes.
        size: Its bytes.
        sequencer: Hexadecimal digits that rise from event to event of one key (`is_older`).
        fault: Of BAD, why it cannot be read, without its values.
    """

    kind: Kind
    bucket: str = ""
    key: str = ""
    key_as_written: str = ""
    version_id: str | None = None
    etag: str | None = None
    size: int | None = None
    sequencer: str | None = None
    fault: str | None = None


class _Lenient(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True)


class _Bucket(_Lenient):
    name: Annotated[str, StringConstraints(pattern=_BUCKET)]


class _Object(_Lenient):
    key: _Key
    size: Annotated[int, Field(ge=0)] | None = None
    etag: _Short | None = Field(None, alias="eTag")
    version_id: _Version | None = Field(None, alias="versionId")
    sequencer: _Sequencer | None = None


class _Stored(_Lenient):
    bucket: _Bucket
    object: _Object


class _Record(_Lenient):
    s3: _Stored


class _BridgedObject(_Object):
    etag: _Short | None = None
    version_id: _Version | None = Field(None, alias="version-id")


class _Detail(_Lenient):
    bucket: _Bucket
    object: _BridgedObject


class _Bridged(_Lenient):
    detail: _Detail


def read(body: bytes | str) -> tuple[S3Event, ...]:
    """The events in a message of an object store, in their order; one that cannot be read is BAD and costs only itself.

    Raises:
        BadEvent: the message is none of an object store.
    """
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        said = None
    if not isinstance(said, dict):
        raise BadEvent("what came is not a JSON object; send S3's notifications, or EventBridge's events")
    return tuple(_events(said))


def is_older(sequencer: str | None, than: str | None) -> bool:
    """Whether an event came before another of the same key; what has no sequencer is never older.

    Sequencers of unequal length are compared after zeros were put before the shorter one, as AWS says.
    """
    if not sequencer or not than:
        return False
    width = max(len(sequencer), len(than))
    return sequencer.lower().rjust(width, "0") < than.lower().rjust(width, "0")


def _events(said: dict[str, Any]) -> Iterator[S3Event]:
    records = said.get("Records")
    if isinstance(records, list):
        if len(records) > MOST_RECORDS:
            raise BadEvent(f"the message tells of {len(records)} events, at most {MOST_RECORDS} are taken at once")
        for record in records:
            yield _readable(_plain, record)
    elif said.get("Event") == _TEST:
        yield S3Event(kind=Kind.TEST)
    elif said.get("source") == "aws.s3" and "detail" in said:
        yield _readable(_bridged, said)
    else:
        raise BadEvent("what came has neither Records, as S3's notifications, nor source aws.s3, as EventBridge's")


def _readable(read_one: Callable[[Any], S3Event], said: object) -> S3Event:
    try:
        return read_one(said)
    except BadEvent as error:
        return S3Event(kind=Kind.BAD, fault=str(error))
    except ValidationError as error:
        faults = (f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors()[:10])
        return S3Event(kind=Kind.BAD, fault=f"the event cannot be read: {'; '.join(faults)}")


def _plain(record: object) -> S3Event:
    name = record.get("eventName") if isinstance(record, dict) else None
    if not isinstance(name, str):
        raise BadEvent("a record has no eventName")
    if not re.match(r"(s3:)?ObjectCreated:", name):
        return S3Event(kind=Kind.TEST if name == _TEST else Kind.OTHER)
    stored = _Record.model_validate(record).s3
    return _created(stored.bucket.name, stored.object, _decoded(stored.object.key))


def _bridged(said: dict[str, Any]) -> S3Event:
    if said.get("detail-type") != "Object Created":
        return S3Event(kind=Kind.OTHER)
    detail = _Bridged.model_validate(said).detail
    return _created(detail.bucket.name, detail.object, detail.object.key)  # EventBridge does not encode keys


def _created(bucket: str, found: _Object, key: str) -> S3Event:
    if is_folder(key):
        return S3Event(kind=Kind.OTHER)
    for one in (key, found.key):
        try:
            check_key(one)
        except ValueError as error:
            raise BadEvent(str(error)) from error
    return S3Event(
        kind=Kind.CREATED,
        bucket=bucket,
        key=key,
        key_as_written=found.key,
        version_id=None if found.version_id in {"", "null"} else found.version_id,
        etag=(found.etag or "").strip('"') or None,
        size=found.size,
        sequencer=found.sequencer or None,
    )


def _decoded(key: str) -> str:
    try:
        return unquote_plus(key, errors="strict")
    except UnicodeDecodeError:
        return key  # a store that does not encode, and a key with a percent sign
