"""Who splits what: one holder an upload, and a former holder can do nothing."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

import pytest
from sqlalchemy import Engine, text

from rowstream.database.connection import SPLITTER_ROLE
from rowstream.kafka.topics import SPLIT_RESULTS
from rowstream.messages import codec
from rowstream.messages.upload_failed import UploadFailed
from rowstream.messages.upload_split import UploadSplit
from rowstream.records import registry
from splitter.header import Column
from splitter.lease import Lease, LeaseLost
from splitter.limits import Limits
from splitter.plan import Plan, make_plan
from splitter.settings import SplitterSlice
from splitter.waiting import enqueue, tidy
from tests.engines import engine_of
from tests.servers import until
from tests.uploads import TRACE, Uploads

PLAN = make_plan(
    etag="e", size_bytes=1, columns=(Column("Member", "member_id"),),
    record_type=registry.find("member_certification"), partitions=8, limits=Limits(), settings=SplitterSlice(),
)  # fmt: skip


def waiting(uploads: Uploads, engine: Engine, count: int = 1) -> list[UUID]:
    """Accepted uploads that a splitter has noted, oldest first."""
    ids = [uploads.accept() for _ in range(count)]
    for upload_id in ids:
        with engine.begin() as connection:
            enqueue(connection, upload_id)
    return ids


def take(engine: Engine, holder: str = "one", seconds: float = 10.0) -> Lease | None:
    return Lease.take(engine, holder=holder, seconds=seconds)


def taken(engine: Engine, holder: str = "one", seconds: float = 10.0) -> Lease:
    lease = take(engine, holder, seconds)
    assert lease is not None
    return lease


def test_an_upload_is_noted_once_and_only_when_its_file_is_there(uploads: Uploads, engine: Engine) -> None:
    upload = uploads.accept()
    no_file = uploads.accept(status="awaiting_upload", etag=None)
    with engine.begin() as connection:
        for upload_id in (upload, upload, no_file, UUID(int=1)):
            enqueue(connection, upload_id)
    assert uploads.execute("SELECT batch_upload_id, holder, epoch FROM upload_splits") == [(upload, None, 0)]


def test_a_lease_says_all_that_splitting_needs(uploads: Uploads, engine: Engine) -> None:
    (upload,) = waiting(uploads, engine)
    job = taken(engine).job
    row = uploads.upload(upload)
    assert (job.upload_id, job.organization_id, job.attempt, job.epoch) == (upload, row.organization_id, 1, 1)
    assert (job.bucket, job.key, job.etag, job.size_bytes) == (row.s3_bucket, "k", "e", 1)
    assert (job.correlation_id, job.traceparent, job.record_type) == (f"c-{upload}", TRACE, "member_certification")
    assert (job.plan, job.already_split) == (None, False)


def test_the_oldest_is_taken_first_and_each_once(uploads: Uploads, engine: Engine) -> None:
    ids = waiting(uploads, engine, 3)
    assert [taken(engine, str(number)).job.upload_id for number in range(3)] == ids
    assert take(engine) is None


def test_what_is_in_a_bucket_that_is_away_is_passed_over(uploads: Uploads, engine: Engine) -> None:
    first, second = waiting(uploads, engine, 2)
    uploads.change(first, s3_bucket="away")
    assert Lease.take(engine, holder="one", seconds=10, not_in=["away", "rowstream"]) is None
    lease = Lease.take(engine, holder="one", seconds=10, not_in=["away"])
    assert lease is not None
    assert lease.job.upload_id == second
    assert taken(engine).job.upload_id == first


def test_organizations_take_turns_whoever_came_first_with_however_many(uploads: Uploads, engine: Engine) -> None:
    other = UUID(int=9)
    uploads.execute("INSERT INTO organizations (id, name) VALUES (:id, 'other')", id=other)
    first = waiting(uploads, engine, 3)
    later = [uploads.accept(organization=other) for _ in range(2)]
    for upload_id in later:
        with engine.begin() as connection:
            enqueue(connection, upload_id)
    leases = [taken(engine, str(number)) for number in range(4)]
    assert [lease.job.upload_id for lease in leases] == [first[0], later[0], first[1], later[1]]
    leases[0].close()
    leases[2].close()
    assert taken(engine, "next").job.upload_id == first[2]  # the only one that is left


def test_a_slot_for_small_files_leaves_large_ones(uploads: Uploads, engine: Engine) -> None:
    large, small = uploads.accept(stored=("k", "e", 1_001)), uploads.accept(stored=("k", "e", 1_000))
    for upload_id in (large, small):
        with engine.begin() as connection:
            enqueue(connection, upload_id)
    lease = Lease.take(engine, holder="one", seconds=10.0, at_most_bytes=1_000)
    assert lease is not None
    assert lease.job.upload_id == small
    assert Lease.take(engine, holder="one", seconds=10.0, at_most_bytes=1_000) is None
    assert taken(engine).job.upload_id == large


def test_a_thousand_waiting_uploads_are_taken_one_by_one_without_delay(uploads: Uploads, engine: Engine) -> None:
    uploads.execute(
        "INSERT INTO batch_uploads (id, organization_id, status, source_type, source, source_event_id, correlation_id,"
        " traceparent, record_type, filename, s3_bucket, s3_key, etag, size_bytes, created_by)"
        " SELECT gen_random_uuid(), organization_id, status, source_type, source, 'e' || n, correlation_id,"
        " traceparent, record_type, filename, s3_bucket, s3_key, etag, size_bytes, created_by"
        " FROM batch_uploads, generate_series(1, 999) n WHERE id = :id",
        id=uploads.accept(),
    )
    with engine.begin() as connection:
        for (upload_id,) in uploads.execute("SELECT id FROM batch_uploads ORDER BY source_event_id"):
            enqueue(connection, upload_id)
    seen = set()
    while (lease := take(engine)) is not None:
        seen.add(lease.job.upload_id)
        lease.close()
    assert len(seen) == 1_000


def test_splitters_that_race_never_hold_the_same(uploads: Uploads, engine: Engine) -> None:
    ids = waiting(uploads, engine, 30)
    start = threading.Barrier(6)

    def grab(number: int) -> list[UUID]:
        start.wait()
        mine = []
        misses = 0
        while misses < 3:  # SKIP LOCKED may find nothing while others are at it
            lease = take(engine, str(number))
            if lease is None:
                misses += 1
                time.sleep(0.02)
            else:
                mine.append(lease.job.upload_id)
        return mine

    with ThreadPoolExecutor(6) as pool:
        shares = list(pool.map(grab, range(6)))
    assert sorted(upload for share in shares for upload in share) == sorted(ids)
    assert sum(bool(share) for share in shares) > 1


def test_an_expired_lease_goes_to_the_next_with_a_higher_epoch(uploads: Uploads, engine: Engine) -> None:
    waiting(uploads, engine)
    first = taken(engine, "one", seconds=0.5)
    first.beat()
    assert take(engine, "two") is None
    time.sleep(0.6)
    second = taken(engine, "two")
    assert second.job.upload_id == first.job.upload_id
    assert second.epoch > first.epoch
    first_again = take(engine, "one")
    assert first_again is None


def test_a_heartbeat_keeps_it_and_shows_how_far_it_is(uploads: Uploads, engine: Engine) -> None:
    (upload,) = waiting(uploads, engine)
    lease = taken(engine, seconds=0.6)
    for records in (100, 250, 30):  # a second split begins at the start, but nobody sees it go back
        time.sleep(0.3)
        lease.records_split, lease.bytes_read = records, records * 10
        lease.beat()
        assert take(engine, "two") is None
    assert (uploads.split(upload).records_split, uploads.split(upload).bytes_read) == (250, 2_500)


def test_a_released_lease_goes_to_the_next_at_once_and_is_not_kept_by_a_late_heartbeat(
    uploads: Uploads, engine: Engine
) -> None:
    waiting(uploads, engine)
    first = taken(engine, "one", seconds=60)
    first.pin(PLAN)
    first.release()
    first.beat()
    second = taken(engine, "two")
    assert second.epoch == first.epoch + 1
    assert second.job.plan == PLAN.stored()
    assert Plan.read(second.job.plan or {}) == PLAN


def test_the_epoch_only_ever_rises(uploads: Uploads, engine: Engine) -> None:
    (upload,) = waiting(uploads, engine)
    seen = []
    for holder in range(3):
        lease = taken(engine, str(holder))
        seen.append(lease.epoch)
        for _ in range(2):
            seen.append(lease.raise_epoch())
            assert lease.epoch == seen[-1]
        assert uploads.split(upload).epoch == seen[-1]
        lease.release()
    assert seen == sorted(set(seen))


ZOMBIES_WRITES: dict[str, Callable[[Lease], object]] = {
    "beat": Lease.beat,
    "raise_epoch": Lease.raise_epoch,
    "pin": lambda lease: lease.pin(PLAN),
    "split": lambda lease: lease.split(chunks=1, records=1, sha256=bytes(32)),
    "fail": lambda lease: lease.fail("FMT_001", "empty"),
    "close": Lease.close,
    "release": Lease.release,
}


@pytest.mark.parametrize("write", ZOMBIES_WRITES.values(), ids=ZOMBIES_WRITES)
def test_a_former_holder_can_write_nothing(uploads: Uploads, engine: Engine, write: Callable[[Lease], object]) -> None:
    (upload,) = waiting(uploads, engine)
    zombie = taken(engine, "zombie", seconds=0.01)
    time.sleep(0.05)
    holder = taken(engine, "holder")
    before = uploads.split(upload)
    zombie.check()  # it does not know yet
    with pytest.raises(LeaseLost):
        write(zombie)
    with pytest.raises(LeaseLost):
        zombie.check()
    assert uploads.split(upload) == before
    assert uploads.lanes(upload) == []
    assert uploads.execute("SELECT * FROM outbox") == []
    holder.beat()


@pytest.mark.parametrize("write", ZOMBIES_WRITES.values(), ids=ZOMBIES_WRITES)
def test_nothing_is_written_to_a_split_that_is_closed(
    uploads: Uploads, engine: Engine, write: Callable[[Lease], object]
) -> None:
    (upload,) = waiting(uploads, engine)
    lease = taken(engine)
    uploads.execute("UPDATE upload_splits SET closed_at = now()")
    before = uploads.split(upload)
    with pytest.raises(LeaseLost):
        write(lease)
    assert uploads.split(upload) == before
    assert take(engine) is None


def test_a_plan_is_stored_with_its_lanes_once(uploads: Uploads, engine: Engine) -> None:
    (upload,) = waiting(uploads, engine)
    lease = taken(engine)
    lease.pin(PLAN)
    lease.pin(PLAN)
    assert uploads.lanes(upload) == [(0, 0, -1)]
    assert lease.job.plan == uploads.split(upload).plan == PLAN.stored()


def message_in_outbox(uploads: Uploads) -> tuple[bytes, dict[str, str]]:
    ((topic, key, payload, headers),) = uploads.execute("SELECT topic, message_key, payload, headers FROM outbox")
    assert topic == SPLIT_RESULTS
    assert UUID(bytes(key).decode())
    return bytes(payload), headers


def test_a_split_is_told_with_what_is_stored(uploads: Uploads, engine: Engine) -> None:
    (upload,) = waiting(uploads, engine)
    lease = taken(engine)
    lease.bytes_read = 77
    lease.split(chunks=3, records=2_500, sha256=bytes(32))
    row = uploads.split(upload)
    assert (row.chunks, row.records, row.records_split, row.bytes_read) == (3, 2_500, 2_500, 77)
    payload, headers = message_in_outbox(uploads)
    told = codec.decode(payload, UploadSplit)
    assert (told.upload_id, told.attempt, told.chunks, told.records) == (upload, 1, 3, 2_500)
    assert headers["correlation_id"] == f"c-{upload}"
    assert headers["traceparent"].split("-")[1] == TRACE.split("-")[1]
    lease.close()
    assert uploads.split(upload).holder is None
    assert take(engine) is None


def test_a_failure_is_told_with_what_is_stored_and_ends_the_split(uploads: Uploads, engine: Engine) -> None:
    (upload,) = waiting(uploads, engine)
    lease = taken(engine)
    lease.fail("FMT_001", "the file is empty")
    row = uploads.split(upload)
    assert (row.failure_code, row.failure_message, row.holder) == ("FMT_001", "the file is empty", None)
    assert row.closed_at is not None
    told = codec.decode(message_in_outbox(uploads)[0], UploadFailed)
    assert (told.upload_id, told.code, told.message) == (upload, "FMT_001", "the file is empty")
    assert take(engine) is None


def test_a_splitter_frozen_inside_a_write_keeps_nobody_from_the_upload_for_long(
    uploads: Uploads, engine: Engine, database_url: str
) -> None:
    waiting(uploads, engine)
    lease = taken(engine, seconds=0.5)
    with (
        engine_of(database_url, role=SPLITTER_ROLE, service="splitter", pool_size=1, idle_seconds=1.0) as frozen,
        frozen.connect() as connection,
    ):
        connection.execute(text("SELECT FROM upload_splits FOR UPDATE"))  # and nothing more is heard of it
        time.sleep(0.6)
        assert take(engine, "two") is None  # the row is locked
        until(lambda: take(engine, "two") is not None, seconds=5, what="the end of the frozen session")
        with pytest.raises(LeaseLost):
            lease.beat()
        connection.invalidate()


def test_who_closes_what_has_failed_does_not_close_what_is_retried_at_that_moment(
    uploads: Uploads, engine: Engine
) -> None:
    (upload,) = waiting(uploads, engine)
    uploads.change(upload, status="failed")  # nobody has closed it yet
    with ThreadPoolExecutor() as threads:
        with engine.begin() as connection:
            connection.execute(text("SELECT FROM upload_splits FOR UPDATE"))
            tidying = threads.submit(tidy, engine)
            until(lambda: waits_for_a_row(uploads), what="who closes to wait for the row")
            uploads.change(upload, status="pending", attempt=2)
            enqueue(connection, upload)
        tidying.result(10)
    row = uploads.split(upload)
    assert row is not None
    assert (row.attempt, row.closed_at) == (2, None)
    assert take(engine) is not None


def waits_for_a_row(uploads: Uploads) -> bool:
    query = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%upload_splits%'"
    return bool(uploads.execute(query)[0][0])
