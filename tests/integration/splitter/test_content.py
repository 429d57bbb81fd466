"""The same bytes again: told, refused or let be, as the organization wants it; which of two is first never depends."""

import hashlib
import io
import threading
from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import pytest

from rowstream.database.keys import DEFAULT_ORGANIZATION
from rowstream.storage.s3 import S3Store
from rowstream.storage.store import ObjectChanged
from splitter.content import Digests
from splitter.sender import Stopping
from splitter.twins import Stored
from tests import servers
from tests.integration.splitter.support import COUNT, FACTS, FILE, System, chunks_sent, closed
from tests.servers import BUCKET, until
from tests.services import announce, processing, splitting
from tests.uploads import Uploads, members

START = iter(range(10**7, 10**9, 1_000))
"""Records of their own for each test: what a test loads is no other one's duplicate."""


@pytest.fixture
def organization_with(system: System) -> Callable[[str], UUID]:
    """Makes an organization with a policy."""

    def make(policy: str) -> UUID:
        organization = servers.make_organization(system.database, f"{policy} {uuid4()}")
        set_policy(system.uploads, organization, policy)
        return organization

    return make


def set_policy(uploads: Uploads, organization: UUID, policy: str) -> None:
    uploads.execute(
        "UPDATE organizations SET duplicate_policy = :policy WHERE id = :id", policy=policy, id=organization
    )


def retried(system: System, upload: UUID) -> Any:
    """Somebody asked to try the upload again."""
    attempt = system.uploads.upload(upload).attempt + 1
    system.uploads.change(upload, attempt=attempt, status="pending")
    system.announce(upload)
    until(lambda: system.uploads.split(upload).attempt == attempt, what="the next attempt")
    return system.closed(upload)


def test_a_file_that_came_before_is_told_of_and_goes_on(
    system: System, organization_with: Callable[[str], UUID]
) -> None:
    organization, data = organization_with("warn"), members(3, next(START))
    first = system.hand_in(data, organization=organization, filename="one.csv")
    row = system.closed(first)
    assert (bytes(row.content_sha256), row.duplicate_of) == (hashlib.sha256(data).digest(), None)
    for _ in range(2):
        again = system.hand_in(data, organization=organization, filename="another name.csv")
        row = system.closed(again)
        assert (bytes(row.content_sha256), row.duplicate_of) == (hashlib.sha256(data).digest(), first)
        assert (row.failure_code, row.records) == (None, 3)
        assert set(system.uploads.codes(again).values()) == {"DUP_001"}


@pytest.mark.parametrize("policy", ["warn", "refuse"])
def test_other_bytes_types_and_organizations_are_no_twins(
    policy: str, system: System, organization_with: Callable[[str], UUID]
) -> None:
    organization, start = organization_with(policy), next(START)
    system.closed(system.hand_in(members(3, start), organization=organization))
    assert len(members(3, start + 10)) == len(members(3, start))
    others = [
        system.hand_in(members(3, start + 10), organization=organization),
        system.hand_in(members(3, start), organization=organization_with(policy)),
    ]
    for row in map(system.closed, others):
        assert (row.duplicate_of, row.failure_code, row.records) == (None, None, 3)
    for upload in system.uploads.execute("SELECT id FROM batch_uploads WHERE organization_id = :id", id=organization):
        system.uploads.change(upload.id, record_type="flights")
        system.uploads.execute(
            "UPDATE upload_splits SET record_type = 'flights' WHERE batch_upload_id = :id", id=upload.id
        )
    row = system.closed(system.hand_in(members(3, start), organization=organization))
    assert (row.duplicate_of, row.failure_code) == (None, None)


def test_an_organization_that_allows_it_is_told_nothing(
    system: System, organization_with: Callable[[str], UUID]
) -> None:
    organization, data = organization_with("allow"), members(3, next(START))
    for _ in range(2):
        row = system.closed(system.hand_in(data, organization=organization))
        assert (bytes(row.content_sha256), row.duplicate_of) == (hashlib.sha256(data).digest(), None)
        assert row.failure_code is None


def test_a_refused_file_fails_before_any_chunk_and_says_which_one_has_it(
    system: System, organization_with: Callable[[str], UUID]
) -> None:
    organization, data = organization_with("refuse"), members(3, next(START))
    first = system.hand_in(data, organization=organization, filename="monday.csv")
    assert system.closed(first).failure_code is None
    again = system.hand_in(data, organization=organization)
    row = system.closed(again)
    assert (row.failure_code, row.duplicate_of, row.plan) == ("DUP_002", first, None)
    assert f"the same file as upload {first} ('monday.csv'), handed in on 20" in row.failure_message
    assert "set the organization's duplicate policy to warn and retry this upload" in row.failure_message
    assert [kind for kind, _ in system.told(again)] == ["rowstream.upload_failed"]
    assert system.uploads.lanes(again) == []
    assert system.chunks_sent(again) == []
    set_policy(system.uploads, organization, "warn")
    row = retried(system, again)
    assert (row.failure_code, row.duplicate_of, row.records) == (None, first, 3)


@pytest.mark.parametrize("policy", ["warn", "refuse"])
def test_one_that_failed_or_was_cancelled_is_nobodys_twin(
    policy: str, system: System, organization_with: Callable[[str], UUID]
) -> None:
    organization, data = organization_with(policy), members(3, next(START))

    def fail(upload: UUID) -> None:
        system.uploads.change(upload, status="failed")

    def cancel(upload: UUID) -> None:
        system.uploads.change(upload, status="cancelled")

    def ask_to_cancel(upload: UUID) -> None:
        system.uploads.request(upload, "cancel")

    for end in (fail, cancel, ask_to_cancel):
        upload = system.hand_in(data, organization=organization)
        row = system.closed(upload)
        assert (row.failure_code, row.duplicate_of) == (None, None), end
        end(upload)


@pytest.mark.parametrize("policy", ["warn", "refuse"])
def test_a_retried_upload_is_not_its_own_twin(
    policy: str, system: System, organization_with: Callable[[str], UUID]
) -> None:
    upload = system.hand_in(members(3, next(START)), organization=organization_with(policy))
    before = system.closed(upload)
    row = retried(system, upload)
    assert (row.failure_code, row.duplicate_of, row.attempt) == (None, None, 2)
    assert row.content_sha256 == before.content_sha256


def test_an_earlier_file_that_comes_to_its_end_later_is_still_the_earliest(
    system: System, organization_with: Callable[[str], UUID]
) -> None:
    organization, data = organization_with("warn"), members(3, next(START))
    first, second, third = (system.uploads.accept_file(system.store, data, organization=organization) for _ in "abc")
    for upload, twin in ((third, None), (second, None), (first, None)):
        system.announce(upload)
        assert system.closed(upload).duplicate_of == twin
    assert [system.uploads.split(upload).duplicate_of for upload in (first, second, third)] == [None, first, first]


def test_of_files_that_come_at_once_the_lowest_id_is_let_in_and_no_other(
    system: System, organization_with: Callable[[str], UUID]
) -> None:
    organization, data = organization_with("refuse"), members(3, next(START))
    ids = [system.uploads.accept_file(system.store, data, organization=organization) for _ in range(8)]
    system.announce(*reversed(ids))
    rows = [system.closed(upload) for upload in ids]
    assert [row.failure_code for row in rows] == [None] + ["DUP_002"] * 7
    assert {row.duplicate_of for row in rows[1:]} == {ids[0]}
    assert len(system.uploads.loaded(ids[0])) == 3


def test_one_that_was_let_in_before_the_lower_id_was_confirmed_stays_in(
    system: System, organization_with: Callable[[str], UUID]
) -> None:
    organization, data = organization_with("refuse"), members(3, next(START))
    late = system.uploads.accept_file(system.store, data, organization=organization, status="awaiting_upload")
    early = system.hand_in(data, organization=organization)
    assert system.closed(early).failure_code is None
    system.uploads.change(late, status="pending")
    system.announce(late)
    row = system.closed(late)
    assert (row.failure_code, row.duplicate_of) == ("DUP_002", early)


@pytest.mark.parametrize("fate", ["known", "read", "gone", "another"])
def test_one_from_before_digests_were_kept_is_read_if_it_still_can_be(
    fate: str, system: System, organization_with: Callable[[str], UUID]
) -> None:
    organization, data = organization_with("refuse"), members(3, next(START))
    first = system.hand_in(data, organization=organization)
    system.closed(first)
    if fate != "known":
        system.uploads.execute("UPDATE upload_splits SET content_sha256 = NULL WHERE batch_upload_id = :id", id=first)
    if fate == "gone":
        system.uploads.change(first, s3_key="raw/nothing-there")
    if fate == "another":
        key = system.uploads.upload(first).s3_key
        system.store.put(BUCKET, key, io.BytesIO(members(3, next(START))))
    row = system.closed(system.hand_in(data, organization=organization))
    assert row.failure_code == ("DUP_002" if fate in ("known", "read") else None)


def test_an_object_is_read_once_and_not_at_all_by_one_who_is_to_stop(store: S3Store) -> None:
    data, stop = bytes(3 << 20), threading.Event()
    found = store.put(BUCKET, "raw/once", io.BytesIO(data))
    stored = Stored(BUCKET, "raw/once", found.etag, found.size)
    digests = Digests(store, stop)
    assert digests.of(stored) == hashlib.sha256(data).digest()
    store.put(BUCKET, "raw/once", io.BytesIO(b"another"))
    assert digests.of(stored) == hashlib.sha256(data).digest()
    with pytest.raises(ObjectChanged):
        Digests(store, stop).of(stored)
    stop.set()
    found = store.put(BUCKET, "raw/once", io.BytesIO(data))
    with pytest.raises(Stopping):
        Digests(store, stop).of(Stored(BUCKET, "raw/once", found.etag, found.size))


def test_a_header_that_cannot_be_read_is_told_of_rather_than_the_twin(
    system: System, organization_with: Callable[[str], UUID]
) -> None:
    organization = organization_with("refuse")
    for _ in range(2):
        assert system.closed(system.hand_in(b"a,b\n1,2\n", organization=organization)).failure_code == "FMT_003"


def test_a_successor_says_the_same_of_a_file_that_was_let_in(
    uploads: Uploads, database_url: str, module_broker: str, store: S3Store
) -> None:
    """It does not judge again: chunks are on their way, and an upload of lower id may have come meanwhile."""
    set_policy(uploads, DEFAULT_ORGANIZATION, "refuse")
    late = uploads.accept_file(store, FILE, status="awaiting_upload")
    other = uploads.accept_file(store, FILE.replace(b"left", b"lost"))
    upload = uploads.accept_file(store, FILE)
    with splitting(database_url, module_broker, store, **FACTS):
        announce(module_broker, other, upload)
        for one in (other, upload):
            until(lambda one=one: len(chunks_sent(module_broker, one)) == 4, what="a full window")  # type: ignore[misc]
    digest = hashlib.sha256(FILE).digest()
    assert bytes(uploads.split(upload).content_sha256) == digest
    uploads.change(late, status="pending")
    with splitting(database_url, module_broker, store), processing(database_url, module_broker):
        closed(uploads, other)
        row = closed(uploads, upload)
        announce(module_broker, late)
        refused = closed(uploads, late)
    assert (bytes(row.content_sha256), row.duplicate_of, row.failure_code) == (digest, None, None)
    assert (refused.failure_code, refused.duplicate_of) == ("DUP_002", upload)
    assert len(uploads.loaded(upload)) + len(uploads.rejected(upload)) == COUNT
