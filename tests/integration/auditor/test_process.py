"""The auditor as a process, with a real broker and database, and everything that can happen to it."""

import random
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import psycopg

from rowstream.database.version import HEAD
from rowstream.kafka.topics import CHUNK_RESULTS, SPLIT_RESULTS
from rowstream.messages.upload_failed import UploadFailed
from tests import servers
from tests.integration.auditor.process import auditor_process, dead_letters, say, split_message
from tests.integration.auditor.scene import Scene, scene_of
from tests.servers import Server, until


def test_results_are_folded_at_once_and_acknowledged_when_it_leaves(
    scene: Scene, database_url: str, either_broker: servers.Broker, tmp_path: Path
) -> None:
    upload = scene.accept()
    scene.note(upload)
    results = scene.work(*(scene.result(upload, chunk) for chunk in range(6)))
    scene.split(upload, chunks=6)
    random.Random(1).shuffle(results)
    with auditor_process(tmp_path, database=database_url, broker=either_broker.address) as auditor:
        say(either_broker.address, *results[:4], split_message(results), *results[:2], *results[4:], *results)
        until(lambda: scene.upload(upload).status == "completed", what="completion")
        assert scene.totals(upload) == (60, 54, 6, 0, 0, {"VAL_001": 6})
        until(lambda: auditor.metric("rowstream_messages_consumed_total") == 15, what="taking every message")
        assert auditor.metric("batch_upload_records_processed_total") == 60
        until(lambda: auditor.metric("rowstream_consumer_lag") == 0, what="the next look at the lag")
        assert auditor.leave() == 0
        assert {line["service"] for line in auditor.log_lines()} == {"auditor"}
        assert [path.name for path in auditor.folder.iterdir()] == ["auditor.log"]
        auditor.start()
        other = scene.accept()
        scene.note(other)
        say(either_broker.address, *scene.work(scene.result(other, 0)))
        until(lambda: scene.upload(other).processed_records == 10, what="the next result")
        assert auditor.metric("rowstream_messages_consumed_total") == 1


def test_a_split_that_is_known_only_after_the_results_completes_the_upload(
    scene: Scene, database_url: str, own_broker: Server, tmp_path: Path
) -> None:
    done, failed = scene.accept(), scene.accept()
    for upload in (done, failed):
        scene.note(upload)
    results = scene.work(*(scene.result(done, chunk) for chunk in range(2)), scene.result(failed, 0))
    with auditor_process(tmp_path, database=database_url, broker=own_broker.address) as auditor:
        say(own_broker.address, *results)
        until(lambda: scene.upload(done).processed_records == 20 and scene.upload(failed).processed_records == 10)
        scene.split(done, chunks=2)
        scene.fail(failed, records_split=50)
        told = UploadFailed(
            upload_id=failed,
            organization_id=results[0].organization_id,
            attempt=1,
            code="S3_001",
            message="the store is gone",
        )
        say(own_broker.address, split_message(results[:2]), told)
        until(lambda: scene.upload(done).status == "completed", what="completion")
        until(lambda: scene.upload(failed).unprocessed_records == 40, what="rest")
        assert scene.upload(failed).status == "failed"
        assert auditor.metric("rowstream_uploads_finished_total") == 2


def test_a_kill_in_the_middle_loses_and_doubles_nothing(
    scene: Scene, database_url: str, own_broker: Server, tmp_path: Path
) -> None:
    upload = scene.accept()
    scene.note(upload)
    results = [scene.result(upload, chunk) for chunk in range(3_000)]
    scene.split(upload, chunks=3_000)
    with auditor_process(
        tmp_path, database=database_url, broker=own_broker.address, AUDITOR__BATCH_RESULTS="20"
    ) as auditor:
        say(own_broker.address, *results)
        until(lambda: scene.upload(upload).processed_records > 0, what="some results")
        auditor.kill()
        assert 0 < scene.upload(upload).processed_records < 30_000
        auditor.start()
        until(lambda: scene.upload(upload).status == "completed", seconds=60, what="completion")
        assert scene.totals(upload) == (30_000, 27_000, 3_000, 0, 0, {"VAL_001": 3_000})
        assert auditor.metric("batch_upload_records_processed_total") < 30_000


def test_poison_is_put_aside_and_the_others_go_on(
    scene: Scene, database_url: str, own_broker: Server, tmp_path: Path
) -> None:
    upload = scene.accept()
    scene.note(upload)
    good = scene.work(*(scene.result(upload, chunk) for chunk in range(3)))
    scene.split(upload, chunks=3)
    stranger = replace(good[0], upload_id=UUID(int=9))
    refused = replace(good[0], chunk_number=7, errors_by_code={"a\0b": 1})
    with auditor_process(tmp_path, database=database_url, broker=own_broker.address) as auditor:
        say(own_broker.address, (CHUNK_RESULTS, b"no such thing"), (CHUNK_RESULTS, b""), good[0], stranger, refused)
        say(own_broker.address, (SPLIT_RESULTS, b"neither"), split_message([stranger]), *good[1:])
        until(lambda: scene.upload(upload).status == "completed", what="completion")
        letters = dead_letters(own_broker.address, 6)
        until(lambda: auditor.metric("rowstream_messages_consumed_total") == 9, what="taking every message")
    assert scene.totals(upload) == (30, 27, 3, 0, 0, {"VAL_001": 3})
    reasons = sorted(letter.headers["__connect.errors.exception.message"] for letter in letters)
    assert len(reasons) == 6
    assert {letter.headers["__connect.errors.topic"] for letter in letters} == {CHUNK_RESULTS, SPLIT_RESULTS}
    for expected in ("not a ChunkResult", "has no header", "names no upload of ours", "cannot store it"):
        assert any(expected in reason for reason in reasons), reasons


def test_with_the_smallest_pool_it_still_finds_what_was_lost(
    scene: Scene, database_url: str, own_broker: Server, tmp_path: Path
) -> None:
    upload = scene.accept()
    scene.note(upload)
    scene.work(scene.result(upload, 0))  # in the ledger, and never told
    scene.split(upload, chunks=1)
    with auditor_process(
        tmp_path,
        database=database_url,
        broker=own_broker.address,
        DATABASE__POOL_SIZE="1",
        AUDITOR__RECONCILE_SECONDS="0.2",
        AUDITOR__GRACE_SECONDS="0",
    ):
        until(lambda: scene.upload(upload).status == "completed", what="completion")


def test_nothing_is_lost_while_the_database_is_away(own_broker: Server, tmp_path: Path) -> None:
    folder = tmp_path / "postgres"
    folder.mkdir()
    with (
        servers.postgres_server(folder) as postgres,
        postgres.fresh_database() as url,
        scene_of(url) as scene,
        auditor_process(tmp_path, database=url, broker=own_broker.address) as auditor,
    ):
        upload = scene.accept()
        scene.note(upload)
        results = [scene.result(upload, chunk) for chunk in range(4)]
        scene.split(upload, chunks=4)
        say(own_broker.address, *results[:2])
        until(lambda: scene.upload(upload).processed_records == 20)
        scene.owner.dispose()
        postgres.kill()
        say(own_broker.address, *results[2:])
        until(lambda: any("database" in reason for reason in auditor.readiness()[1]), what="saying so")
        assert auditor.readiness()[0] == 503
        postgres.start()
        until(lambda: scene.upload(upload).status == "completed", what="completion")
        until(lambda: auditor.readiness()[0] == 200, what="readiness")
        assert scene.totals(upload)[0] == 40
        scene.owner.dispose()
        postgres.kill()
        other = replace(results[0], chunk_number=4)
        say(own_broker.address, other)
        until(lambda: any("database" in reason for reason in auditor.readiness()[1]), what="saying so")
        assert auditor.leave() == 0
        postgres.start()
        auditor.start()
        until(lambda: scene.totals(upload)[0] == 50, what="folding what was in hand when it left")


def test_it_goes_on_when_the_broker_comes_back_without_its_log(
    scene: Scene, database_url: str, either_broker: servers.Broker, tmp_path: Path
) -> None:
    upload = scene.accept()
    scene.note(upload)
    results = scene.work(*(scene.result(upload, chunk) for chunk in range(8)))
    scene.split(upload, chunks=8)
    with auditor_process(tmp_path, database=database_url, broker=either_broker.address) as auditor:
        say(either_broker.address, *results[:6])
        until(lambda: scene.upload(upload).processed_records == 60)
        either_broker.kill()
        either_broker.lose_log()
        either_broker.start()
        say(either_broker.address, *results[6:])
        until(lambda: scene.upload(upload).status == "completed", seconds=30, what="completion")
        either_broker.kill()
        either_broker.lose_log()
        assert auditor.leave() == 0


def test_it_waits_for_a_migrated_database_and_for_topics(
    postgres: servers.Postgres, own_broker: Server, tmp_path: Path
) -> None:
    own_broker.stop()
    with (
        postgres.fresh_database() as url,
        auditor_process(tmp_path, database=url, broker=own_broker.address, start=False) as auditor,
    ):
        with psycopg.connect(url) as connection:
            connection.execute("UPDATE alembic_version SET version_num = '0000'")
        auditor.start(wait=False)
        until(lambda: any("rowstream migrate" in reason for reason in auditor.readiness()[1]), what="saying so")
        with psycopg.connect(url) as connection:
            connection.execute("UPDATE alembic_version SET version_num = %s", [HEAD])
        until(lambda: any("broker at" in reason for reason in auditor.readiness()[1]), what="saying so")
        own_broker.start()
        until(lambda: auditor.readiness()[0] == 200, what="readiness")
        assert auditor.leave() == 0


def test_a_wrong_setting_stops_the_start_with_the_name_of_its_variable(tmp_path: Path) -> None:
    with auditor_process(
        tmp_path, database="postgresql://x", broker="x", start=False, AUDITOR__LINGER_SECONDS="soon"
    ) as auditor:
        auditor.start(wait=False)
        assert auditor.process
        assert auditor.process.wait(timeout=60) != 0
        assert "ROWSTREAM_AUDITOR__LINGER_SECONDS" in auditor.log.read_text()


def test_an_error_that_nobody_foresaw_ends_it_with_nothing_acknowledged(
    scene: Scene, database_url: str, own_broker: Server, tmp_path: Path
) -> None:
    upload = scene.accept()
    scene.note(upload)
    say(own_broker.address, *scene.work(scene.result(upload, 0)))
    scene.execute("CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM raise(); END'")
    scene.execute("CREATE TRIGGER fail BEFORE UPDATE ON batch_uploads FOR EACH ROW EXECUTE FUNCTION fail()")
    with auditor_process(tmp_path, database=database_url, broker=own_broker.address, start=False) as auditor:
        auditor.start(wait=False)
        assert auditor.process
        assert auditor.process.wait(timeout=30) == 1
        assert any("could not be folded" in line["event"] for line in auditor.log_lines())
        scene.execute("DROP TRIGGER fail ON batch_uploads")
        auditor.start()
        until(lambda: scene.upload(upload).processed_records == 10, what="folding what was not acknowledged")
