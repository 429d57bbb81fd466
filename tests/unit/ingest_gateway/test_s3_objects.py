"""What becomes of an event, by what was taken of its key before and what the store has now."""

from uuid import UUID

import pytest

from ingest_gateway.s3_events import Kind, S3Event
from ingest_gateway.s3_objects import Outcome, Taken, describes, judge
from rowstream.storage.store import ObjectInfo

TAKEN, AGAIN, OLDER = Outcome.TAKEN, Outcome.AGAIN, Outcome.OLDER


def event(etag: str | None = None, sequencer: str | None = None, version: str | None = None) -> S3Event:
    return S3Event(kind=Kind.CREATED, etag=etag, sequencer=sequencer, version_id=version)


def taken(etag: str, sequencer: str | None = None, version: str | None = None) -> Taken:
    return Taken(sequencer=sequencer, version_id=version, etag=etag, batch_upload_id=UUID(int=1))


def found(etag: str, version: str | None = None) -> ObjectInfo:
    return ObjectInfo(etag, 1, version)


@pytest.mark.parametrize(
    ("told", "before", "there", "outcome"),
    [
        pytest.param(event("a", "1"), None, found("a"), TAKEN, id="the first of its key"),
        pytest.param(event("a", "1"), None, found("b"), TAKEN, id="the first, overwritten meanwhile"),
        pytest.param(event("a", "1"), taken("a", "1"), found("a"), AGAIN, id="the same event again"),
        pytest.param(event(), taken("a"), found("a"), AGAIN, id="again, of a store that says nothing more"),
        pytest.param(event("b", "2"), taken("a", "1"), found("b"), TAKEN, id="overwritten"),
        pytest.param(event(), taken("a"), found("b"), TAKEN, id="overwritten, of a store that says nothing more"),
        pytest.param(event("a", "1"), taken("b", "2"), found("b"), AGAIN, id="late, after the newer one"),
        pytest.param(event("a", "9"), taken("b", "10"), found("c"), OLDER, id="late, and a newer one is to come"),
        pytest.param(event("a", "10"), taken("b", "9"), found("c"), TAKEN, id="newer, and one more is to come"),
        pytest.param(event("a", "3"), taken("a", "1"), found("a"), TAKEN, id="the same bytes written again"),
        pytest.param(event("b", "2"), taken("a", "1"), found("a"), AGAIN, id="the same bytes again, not told yet"),
        pytest.param(event("a", "3"), taken("a", None), found("a"), AGAIN, id="told of what was taken early"),
        pytest.param(event("b", "1"), taken("a", "7"), found("b"), TAKEN, id="a store that counts anew"),
        pytest.param(event("a", "2", "v2"), taken("a", "1", "v1"), found("a", "v2"), TAKEN, id="another version"),
        pytest.param(event("a", "2", "v1"), taken("a", "1", "v1"), found("a", "v1"), AGAIN, id="the same version"),
        pytest.param(event("a", "1", "v1"), taken("a", "2", "v2"), found("a", "v2"), AGAIN, id="an older version"),
        pytest.param(event("a", "1", "v1"), taken("a", "2", "v2"), found("a", "v3"), OLDER, id="older, newer to come"),
    ],
)
def test_what_becomes_of_an_event(told: S3Event, before: Taken | None, there: ObjectInfo, outcome: Outcome) -> None:
    assert judge(told, before, there) is outcome


@pytest.mark.parametrize(
    ("told", "there", "described"),
    [
        (event("a"), found("a"), True),
        (event("a"), found("b"), False),
        (event(), found("b"), True),
        (event("a", version="v1"), found("a", "v1"), True),
        (event("a", version="v1"), found("a", "v2"), False),
        (event("a", version="v1"), found("a"), True),
    ],
)
def test_an_event_describes_one_version(told: S3Event, there: ObjectInfo, *, described: bool) -> None:
    assert describes(told, there) is described
