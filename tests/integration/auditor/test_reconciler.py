"""What was lost on its way is found in the ledger and mended; what is stuck is told."""

import time
from typing import Any
from uuid import UUID

import pytest
from prometheus_client import REGISTRY
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from auditor import closing
from auditor.patience import DATABASE_AWAY
from auditor.reconciler import Reconciler
from auditor.settings import AuditorSlice
from rowstream.database.connection import AUDITOR_ROLE
from rowstream.database.invariants import check
from rowstream.kafka.topics import UPLOADS
from rowstream.messages import codec
from rowstream.messages.upload_accepted import UploadAccepted
from rowstream.messages.upload_status import UploadStatus
from rowstream.runtime.health import Health
from tests.engines import engine_of
from tests.integration.auditor.scene import Scene


class Clock:
    """Seconds that pass when a test says so."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def reconciler(scene: Scene, clock: Clock | None = None, **facts: Any) -> Reconciler:
    settings = AuditorSlice(**({"grace_seconds": 0.0} | facts))
    return Reconciler(scene.engine, settings, Health(), clock=clock or Clock())


def repairs(kind: str) -> float:
    return REGISTRY.get_sample_value("rowstream_reconciler_repairs_total", {"kind": kind}) or 0.0


def stuck() -> float:
    return REGISTRY.get_sample_value("rowstream_stuck_uploads") or 0.0


def started(scene: Scene, *, chunks: int) -> UUID:
    """An upload whose chunks are all in the ledger, and of which the auditor has heard nothing."""
    upload = scene.accept()
    scene.note(upload)
    scene.work(*(scene.result(upload, chunk) for chunk in range(chunks)))
    return upload


def test_lost_results_are_folded_from_the_ledger(scene: Scene, database_url: str) -> None:
    upload = started(scene, chunks=5)
    scene.fold(scene.result(upload, 2))
    scene.split(upload, chunks=5)
    before = repairs("chunk_results")
    assert reconciler(scene).round()
    assert scene.upload(upload).status == "completed"
    assert scene.totals(upload) == (50, 45, 5, 0, 0, {"VAL_001": 5})
    assert scene.events(upload).count("repaired") == 1
    assert repairs("chunk_results") - before == 1
    assert check(database_url) == []


def test_a_round_may_take_longer_than_a_transaction_may_rest(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Reconciler, "_mend", lambda _: time.sleep(1.0))
    with engine_of(database_url, role=AUDITOR_ROLE, service="auditor", idle_seconds=0.3) as engine:
        assert Reconciler(engine, AuditorSlice(), Health()).round()


def test_an_auditor_that_was_stopped_in_a_transaction_has_let_go_and_begins_again(database_url: str) -> None:
    with engine_of(database_url, role=AUDITOR_ROLE, service="auditor", idle_seconds=0.3) as engine:
        with engine.connect() as connection:
            connection.execute(text("SELECT FROM batch_uploads FOR UPDATE"))
            time.sleep(1.0)
            with pytest.raises(DATABASE_AWAY):
                connection.execute(text("SELECT"))
        with engine.begin() as connection:
            connection.execute(text("SELECT"))


def test_what_may_still_be_on_its_way_is_left_alone(scene: Scene) -> None:
    upload = started(scene, chunks=2)
    scene.split(upload, chunks=2)
    reconciler(scene, grace_seconds=60).round()
    assert scene.totals(upload)[0] == 0


def test_a_second_round_finds_nothing_to_mend(scene: Scene) -> None:
    upload = started(scene, chunks=2)
    scene.split(upload, chunks=2)
    mender = reconciler(scene)
    mender.round()
    events, sent = scene.events(upload), len(scene.sent(upload))
    mender.round()
    assert (scene.events(upload), len(scene.sent(upload))) == (events, sent)


def test_a_lost_split_completes_the_upload(scene: Scene) -> None:
    upload = started(scene, chunks=2)
    scene.fold(*(scene.result(upload, chunk) for chunk in range(2)))
    scene.split(upload, chunks=2, seconds_ago=30)
    before = repairs("status")
    reconciler(scene, grace_seconds=20).round()
    assert scene.upload(upload).status == "completed"
    assert repairs("status") - before == 1


def test_a_lost_failure_fails_the_upload_and_the_next_round_brings_it_to_rest(scene: Scene, database_url: str) -> None:
    upload = started(scene, chunks=3)
    scene.fold(scene.result(upload, 0))
    scene.fail(upload, records_split=100, seconds_ago=30)
    mender = reconciler(scene)
    for _ in range(2):
        mender.round()
    row = scene.upload(upload)
    assert (row.status, row.failure_code, row.total_records) == ("failed", "S3_001", 100)
    assert scene.totals(upload) == (30, 27, 3, 0, 70, {"VAL_001": 3})
    assert check(database_url) == []
    told = [codec.decode(message.payload, UploadStatus) for message in scene.sent(upload)]
    assert [(one.version, one.status, one.unprocessed_records) for one in told] == [
        (2, "processing", 0),
        (3, "failed", 0),
        (4, "failed", 70),
    ]


def test_an_upload_is_not_at_rest_while_a_lane_is_worked_on(scene: Scene) -> None:
    upload = started(scene, chunks=1)
    scene.fold(scene.result(upload, 0))
    scene.fail(upload, records_split=20)
    scene.fold(woken=(upload,))
    with scene.owner.begin() as processor:
        processor.execute(text("SELECT 1 FROM upload_lanes WHERE lane = 1 FOR UPDATE"))
        scene.work(scene.result(upload, 1), connection=processor)
        with scene.engine.begin() as connection, pytest.raises(OperationalError, match="lock timeout"):
            closing.close(connection, upload)
        assert scene.upload(upload).total_records is None
    with scene.engine.begin() as connection:
        assert closing.close(connection, upload) is not None
    assert scene.totals(upload) == (20, 18, 2, 0, 0, {"VAL_001": 2})
    with scene.engine.begin() as connection:
        assert closing.close(connection, upload) is None


def test_totals_that_differ_from_the_log_are_made_anew(scene: Scene, database_url: str) -> None:
    upload = started(scene, chunks=3)
    scene.split(upload, chunks=3)
    scene.fold(*(scene.result(upload, chunk) for chunk in range(3)))
    scene.execute("""
        UPDATE batch_uploads SET succeeded_records = 1, failed_records = 99, errors_by_code = '{"DUP_001": 4}'
    """)
    assert check(database_url) != []
    reconciler(scene).round()
    assert scene.totals(upload) == (30, 27, 3, 0, 0, {"VAL_001": 3})
    assert check(database_url) == []


def test_a_log_row_that_somebody_deleted_is_written_again(scene: Scene, database_url: str) -> None:
    upload = started(scene, chunks=3)
    scene.split(upload, chunks=3)
    scene.fold(*(scene.result(upload, chunk) for chunk in range(3)))
    scene.execute("DELETE FROM batch_upload_audit_logs WHERE chunk_number = 1")
    assert check(database_url) != []
    for _ in range(2):
        reconciler(scene).round()
    assert scene.totals(upload) == (30, 27, 3, 0, 0, {"VAL_001": 3})
    assert check(database_url) == []


def test_an_upload_that_no_splitter_noted_is_announced_again_ever_more_rarely(scene: Scene) -> None:
    lost, fresh, noted = scene.accept(seconds_ago=100), scene.accept(), scene.accept(seconds_ago=25)
    scene.note(noted)
    mender = reconciler(scene)
    mender.round()
    mender.round()
    (message,) = scene.sent(lost)
    assert message.topic == UPLOADS
    assert codec.decode(message.payload, UploadAccepted).upload_id == lost
    assert scene.sent(fresh) == scene.sent(noted) == []
    scene.execute("UPDATE batch_upload_audit_logs SET created_at = created_at - interval '30 s'")
    mender.round()
    assert len(scene.sent(lost)) == 1
    scene.execute("UPDATE batch_upload_audit_logs SET created_at = created_at - interval '11 s'")
    mender.round()
    assert len(scene.sent(lost)) == 2


def test_only_one_auditor_reconciles_at_a_time(scene: Scene) -> None:
    with scene.owner.begin() as other:
        other.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": 0x726F7772})
        assert reconciler(scene).round() is False
    assert reconciler(scene).round() is True


def test_an_upload_that_a_live_lease_does_not_move_is_stuck(scene: Scene) -> None:
    clock = Clock()
    mender = reconciler(scene, clock)
    upload = scene.accept()
    scene.note(upload)
    for seconds, expected in ((0, 0), (59, 0), (61, 1)):
        clock.now = seconds
        mender.measure()
        assert stuck() == expected
    scene.execute("UPDATE upload_splits SET bytes_read = 5")
    mender.measure()
    assert stuck() == 0


def test_a_retried_upload_that_no_splitter_noted_again_is_stuck_though_others_move(scene: Scene) -> None:
    clock = Clock()
    mender = reconciler(scene, clock)
    lost, moving = started(scene, chunks=1), scene.accept()
    scene.fail(lost, records_split=10)
    scene.fold(woken=(lost,))
    scene.retry(lost)
    scene.note(moving)
    for seconds in (0, 61):
        clock.now = seconds
        scene.execute("UPDATE upload_splits SET bytes_read = :bytes WHERE holder IS NOT NULL", bytes=seconds)
        mender.measure()
    assert stuck() == 1


def test_an_upload_that_cannot_be_mended_does_not_keep_the_others_from_it(scene: Scene) -> None:
    bad, good = started(scene, chunks=1), started(scene, chunks=1)
    for upload in (bad, good):
        scene.split(upload, chunks=1)
    scene.execute(f"""
        CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS
            'BEGIN IF new.id = ''{bad}'' THEN PERFORM raise(); END IF; RETURN new; END'
    """)
    scene.execute("CREATE TRIGGER fail BEFORE UPDATE ON batch_uploads FOR EACH ROW EXECUTE FUNCTION fail()")
    reconciler(scene).round()
    assert (scene.upload(bad).status, scene.upload(good).status) == ("pending", "completed")


def test_a_round_looks_at_no_history(scene: Scene) -> None:
    scene.execute("ALTER TABLE batch_uploads DISABLE TRIGGER ALL")
    scene.execute("""
        INSERT INTO batch_uploads (id, organization_id, status, source_type, source, source_event_id, correlation_id,
                                   traceparent, record_type, filename, s3_bucket, s3_key, created_by, completed_at)
        SELECT gen_random_uuid(), (SELECT id FROM organizations), 'completed', 'api', 's', n, 'c', 't', 'thing', 'f',
               'b', 'k', 'me', now() - interval '2 days'
        FROM generate_series(1, 20000) AS n
    """)
    scene.execute("ANALYZE batch_uploads")
    mender = reconciler(scene)
    mender.round()
    read = "SELECT seq_tup_read FROM pg_stat_user_tables WHERE relname = 'batch_uploads'"
    with scene.engine.connect() as connection:
        connection.execute(text("SELECT pg_stat_force_next_flush()"))
    time.sleep(0.1)
    with scene.owner.connect() as connection:
        before = connection.execute(text(read)).scalar_one()
    mender.round()
    with scene.engine.connect() as connection:
        connection.execute(text("SELECT pg_stat_force_next_flush()"))
    time.sleep(0.1)
    with scene.owner.connect() as connection:
        assert connection.execute(text(read)).scalar_one() == before
