"""Results become totals, status and messages: once each, in any order, in a real database."""

import threading
from dataclasses import replace
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client import REGISTRY

from auditor import projection
from rowstream.kafka.topics import UPLOAD_STATUS
from rowstream.messages import codec
from rowstream.messages.chunk_result import ChunkResult
from rowstream.messages.upload_status import UploadStatus
from tests.integration.auditor.scene import RECORD_TYPE, Scene
from tests.servers import make_organization


def test_an_upload_starts_with_its_first_result_and_completes_with_its_last(scene: Scene) -> None:
    upload = scene.accept()
    scene.note(upload)
    first, second, third = scene.work(*(scene.result(upload, chunk) for chunk in range(3)))
    scene.fold(first)
    row = scene.upload(upload)
    assert (row.status, row.total_records, row.completed_at) == ("processing", None, None)
    assert row.started_at is not None
    scene.split(upload, chunks=3)
    scene.fold(second)
    assert (scene.upload(upload).status, scene.upload(upload).total_records) == ("processing", 30)
    folded = scene.fold(third)
    row = scene.upload(upload)
    assert (row.status, row.version) == ("completed", 3)
    assert row.accepted_at <= row.started_at <= row.completed_at
    assert scene.totals(upload) == (30, 27, 3, 0, 0, {"VAL_001": 3})
    assert scene.events(upload) == ["chunk_completed"] * 2 + ["upload_split", "chunk_completed", "upload_completed"]
    (ended,) = folded.ended
    assert ended.seconds == pytest.approx((row.completed_at - row.accepted_at).total_seconds())


def test_each_change_of_status_is_told_once_with_a_higher_version(scene: Scene) -> None:
    upload = scene.accept()
    scene.note(upload)
    scene.split(upload, chunks=2)
    both = scene.work(scene.result(upload, 0), scene.result(upload, 1))
    scene.fold(both[0])
    scene.fold(*both)
    scene.fold(*both, woken=(upload,))
    sent = scene.sent(upload)
    told = [codec.decode(row.payload, UploadStatus) for row in sent]
    assert [(one.status, one.version) for one in told] == [("processing", 2), ("completed", 3)]
    assert (told[1].total_records, told[1].processed_records, told[1].failed_records) == (20, 20, 2)
    assert {row.topic for row in sent} == {UPLOAD_STATUS}
    headers = sent[1].headers
    assert (headers["ce_type"], headers["correlation_id"]) == ("rowstream.upload_status", f"c-{upload}")
    assert headers["traceparent"].startswith("00-" + "1" * 32)
    assert headers["ce_id"] == f"{upload}/3"


def test_a_result_told_again_counts_once(scene: Scene) -> None:
    upload = scene.accept()
    scene.note(upload)
    (result,) = scene.work(scene.result(upload, 0))
    scene.fold(result, result)
    scene.fold(result)
    assert scene.totals(upload) == (10, 9, 1, 0, 0, {"VAL_001": 1})
    assert scene.events(upload) == ["chunk_completed"]


def test_results_before_anything_else_are_kept_until_the_split_is_known(scene: Scene) -> None:
    upload = scene.accept()
    scene.note(upload)
    scene.fold(*scene.work(scene.result(upload, 0), scene.result(upload, 1)))
    assert scene.upload(upload).status == "processing"
    scene.split(upload, chunks=2)
    scene.fold(woken=(upload,))
    assert scene.upload(upload).status == "completed"


def test_a_file_of_a_header_alone_is_completed_at_once(scene: Scene) -> None:
    upload = scene.accept()
    scene.note(upload)
    scene.split(upload, chunks=0)
    scene.fold(woken=(upload,))
    row = scene.upload(upload)
    assert (row.status, row.total_records, row.processed_records, row.version) == ("completed", 0, 0, 3)


def test_a_failure_of_the_splitter_fails_the_upload(scene: Scene) -> None:
    upload = scene.accept()
    scene.note(upload)
    scene.fail(upload)
    (ended,) = scene.fold(woken=(upload,)).ended
    row = scene.upload(upload)
    assert (row.status, row.failure_code, row.failure_message) == ("failed", "S3_001", "the store is gone")
    assert row.completed_at is not None
    assert row.started_at is None
    assert ended.cut_short
    assert scene.events(upload) == ["upload_failed"]


def test_unprocessed_chunks_fail_the_upload_once_the_others_are_done(scene: Scene) -> None:
    upload = scene.accept()
    scene.note(upload)
    scene.split(upload, chunks=2)
    scene.fold(*scene.work(scene.unprocessed(upload, 0)))
    assert scene.upload(upload).status == "processing"
    (ended,) = scene.fold(*scene.work(scene.result(upload, 1))).ended
    row = scene.upload(upload)
    assert (row.status, row.failure_code) == ("failed", "UNK_001")
    assert "10 of 20 records" in row.failure_message
    assert scene.totals(upload) == (10, 9, 1, 0, 10, {"VAL_001": 1})
    assert not ended.cut_short
    assert "chunk_unprocessed" in scene.events(upload)


@pytest.mark.parametrize("late_first", [False, True])
def test_a_later_attempt_replaces_what_was_unprocessed(scene: Scene, late_first: bool) -> None:  # noqa: FBT001 - a case
    upload = scene.accept()
    scene.note(upload)
    before = [scene.unprocessed(upload, 0), scene.result(upload, 1)]
    again = scene.result(upload, 0, attempt=2)
    scene.execute("UPDATE batch_uploads SET attempt = 2 WHERE id = :id", id=upload)
    scene.execute("UPDATE upload_splits SET attempt = 2 WHERE batch_upload_id = :id", id=upload)
    scene.split(upload, chunks=2)
    for results in ([again], before) if late_first else (before, [again]):
        scene.fold(*results)
    assert scene.upload(upload).status == "completed"
    assert scene.totals(upload) == (20, 18, 2, 0, 0, {"VAL_001": 2})


def test_what_an_earlier_attempt_left_unprocessed_is_waited_for(scene: Scene) -> None:
    upload = scene.accept()
    scene.note(upload, attempt=2)
    scene.execute("UPDATE batch_uploads SET attempt = 2 WHERE id = :id", id=upload)
    scene.split(upload, chunks=2)
    scene.fold(scene.unprocessed(upload, 0), scene.result(upload, 1))
    assert scene.upload(upload).status == "processing"
    scene.fold(scene.unprocessed(upload, 0, attempt=2))
    assert scene.upload(upload).status == "failed"


def test_held_records_need_a_review(scene: Scene) -> None:
    upload = scene.accept()
    scene.note(upload)
    scene.split(upload, chunks=1)
    assert scene.fold(scene.result(upload, 0, held_records=2, succeeded_records=7)).ended == []
    row = scene.upload(upload)
    assert (row.status, row.held_records, row.processed_records, row.completed_at) == ("needs_review", 2, 10, None)


def test_what_names_no_upload_of_its_organization_is_a_stranger(scene: Scene, database_url: str) -> None:
    upload = scene.accept()
    other = make_organization(database_url, "other")
    scene.note(upload)
    nobodys = replace(scene.result(upload, 0), upload_id=UUID(int=5))
    foreign = scene.result(upload, 0, organization_id=other)
    folded = scene.fold(nobodys, foreign, scene.result(upload, 1))
    assert folded.strangers == {(UUID(int=5), nobodys.organization_id), (upload, other)}
    assert scene.totals(upload)[0] == 10


def test_two_auditors_at_once_lose_nothing(scene: Scene) -> None:
    uploads = [scene.accept() for _ in range(3)]
    for upload in uploads:
        scene.note(upload)
        scene.split(upload, chunks=20)
    results = [scene.result(upload, chunk) for chunk in range(20) for upload in uploads]

    def fold_some(mine: list[ChunkResult]) -> None:
        for start in range(0, len(mine), 7):
            scene.fold(*mine[start : start + 7])

    threads = [threading.Thread(target=fold_some, args=(mine,)) for mine in (results, results[::-1], results[1::2])]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for upload in uploads:
        assert scene.totals(upload) == (200, 180, 20, 0, 0, {"VAL_001": 20})
        assert scene.upload(upload).status == "completed"


def test_a_processor_at_work_does_not_keep_the_auditor_waiting(scene: Scene) -> None:
    upload = scene.accept()
    scene.note(upload)
    with scene.owner.begin() as processor:
        scene.work(scene.result(upload, 1), connection=processor)
        scene.execute("SELECT 1")
        processor.exec_driver_sql("SELECT 1 FROM batch_uploads FOR KEY SHARE")  # as a foreign key does
        scene.fold(scene.result(upload, 0))
    assert scene.totals(upload)[0] == 10


def test_metrics_count_what_was_added(scene: Scene) -> None:
    def processed() -> float:
        return REGISTRY.get_sample_value("batch_upload_records_processed_total", {"record_type": RECORD_TYPE}) or 0

    upload = scene.accept()
    scene.note(upload)
    before = processed()
    for _ in range(2):
        projection.count(scene.fold(scene.result(upload, 0)))
    assert processed() - before == 10


def test_a_word_that_no_record_type_can_have_as_a_code_is_no_label(scene: Scene) -> None:
    upload = scene.accept()
    scene.note(upload)
    folded = scene.fold(scene.result(upload, 0, errors_by_code={f"word {number}": 1 for number in range(5)}))
    projection.count(folded)
    name, labels = "batch_upload_records_failed_total", {"record_type": RECORD_TYPE, "code": "word 1"}
    assert REGISTRY.get_sample_value(name, labels) is None
    assert (REGISTRY.get_sample_value(name, {**labels, "code": "other"}) or 0) >= 5


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_order_and_repetition_comes_to_the_same(scene: Scene, data: st.DataObject) -> None:
    upload = scene.accept()
    scene.note(upload)
    scene.split(upload, chunks=4)
    told = [scene.result(upload, chunk, failed=chunk) for chunk in (0, 1, 2)] + [scene.unprocessed(upload, 3)]
    told += [scene.result(upload, 3, attempt=2, failed=4)]
    shuffled = data.draw(st.permutations(told + data.draw(st.lists(st.sampled_from(told), max_size=6))))
    cut = data.draw(st.integers(0, len(shuffled)))
    for batch in (shuffled[:cut], shuffled[cut:], shuffled[:2]):
        scene.fold(*batch)
    assert scene.totals(upload) == (40, 33, 7, 0, 0, {"VAL_001": 7})
