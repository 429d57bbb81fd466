"""Uploads follow what is asked of them, at any moment and in a race, and a retried one counts right."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
from prometheus_client import REGISTRY
from sqlalchemy import text

from auditor import closing
from auditor.control import Control
from auditor.reconciler import Reconciler
from auditor.settings import AuditorSlice
from rowstream.database.control import CHANNEL
from rowstream.database.invariants import check
from rowstream.kafka.topics import UPLOAD_STATUS, UPLOADS
from rowstream.messages import codec
from rowstream.messages.upload_accepted import UploadAccepted
from rowstream.messages.upload_status import UploadStatus
from rowstream.runtime.health import Health
from tests.integration.auditor.scene import Scene
from tests.servers import until


@pytest.fixture
def control(scene: Scene) -> Control:
    return Control(scene.engine, Health())


@pytest.fixture
def following(control: Control) -> Iterator[None]:
    """The thread that follows."""
    stop = threading.Event()
    thread = threading.Thread(target=control.run, args=(stop,))
    thread.start()
    yield
    stop.set()
    thread.join(20)
    assert not thread.is_alive()


def half_done(scene: Scene) -> UUID:
    """Two of an upload's chunks are loaded and counted; the file goes on."""
    upload = scene.accept(seconds_ago=60)
    scene.note(upload, records_split=40)
    scene.fold(*scene.work(scene.result(upload, 0), scene.result(upload, 1)))
    return upload


def cut_short(scene: Scene) -> UUID:
    """Like `half_done`, then failed by its splitter and closed: 20 of its 40 records are unprocessed."""
    upload = half_done(scene)
    scene.fail(upload, records_split=40)
    closing.after(scene.engine, scene.fold(woken=(upload,)))
    assert scene.totals(upload)[4] == 20
    return upload


def told(scene: Scene, upload: UUID) -> list[tuple[int, str]]:
    messages = [codec.decode(row.payload, UploadStatus) for row in scene.sent(upload) if row.topic == UPLOAD_STATUS]
    return [(one.version, one.status) for one in messages]


def mend(scene: Scene, **facts: Any) -> None:
    Reconciler(scene.engine, AuditorSlice(**({"grace_seconds": 0.0} | facts)), Health()).round()


def repairs(kind: str) -> float:
    return REGISTRY.get_sample_value("rowstream_reconciler_repairs_total", {"kind": kind}) or 0.0


def test_an_upload_is_paused_and_goes_on_where_it_was(scene: Scene, control: Control) -> None:
    upload = half_done(scene)
    scene.ask(upload, "pause")
    for _ in range(2):
        control.look()
    assert scene.upload(upload).status == "paused"
    # What was in a processor's hands is counted all the same.
    scene.fold(*scene.work(scene.result(upload, 2)))
    assert (scene.upload(upload).status, scene.totals(upload)[0]) == ("paused", 30)
    scene.ask(upload, "run")
    for _ in range(2):
        control.look()
    assert scene.upload(upload).status == "processing"
    assert told(scene, upload) == [(2, "processing"), (3, "paused"), (4, "processing")]
    assert [one for one in scene.events(upload) if one != "chunk_completed"] == ["upload_paused", "upload_resumed"]


def test_an_upload_that_nobody_has_noted_waits_again_when_it_is_resumed(scene: Scene, control: Control) -> None:
    upload = scene.accept()
    for requested, status in (("pause", "paused"), ("run", "pending")):
        scene.ask(upload, requested)
        control.look()
        assert scene.upload(upload).status == status


def test_a_paused_upload_completes_only_when_it_is_resumed(scene: Scene, control: Control, database_url: str) -> None:
    upload = half_done(scene)
    scene.ask(upload, "pause")
    scene.split(upload, chunks=3, seconds_ago=30)
    scene.fold(*scene.work(scene.result(upload, 2)))
    mend(scene)
    assert scene.upload(upload).status == "paused"
    scene.ask(upload, "run")
    control.look()
    assert scene.upload(upload).status == "completed"
    assert told(scene, upload)[-2:] == [(4, "processing"), (5, "completed")]
    assert check(database_url) == []


@pytest.mark.parametrize("paused_before", [False, True])
def test_a_cancelled_upload_is_closed_and_stays_so(
    scene: Scene,
    control: Control,
    database_url: str,
    paused_before: bool,  # noqa: FBT001 - a case
) -> None:
    upload = half_done(scene)
    if paused_before:
        scene.ask(upload, "pause")
        control.look()
    late = scene.work(scene.result(upload, 2))  # in the ledger, and its result on the way
    scene.ask(upload, "cancel")
    for _ in range(2):
        control.look()
    row = scene.upload(upload)
    assert (row.status, row.failure_code, row.total_records) == ("cancelled", None, 40)
    assert row.completed_at is not None
    assert scene.totals(upload) == (30, 27, 3, 0, 10, {"VAL_001": 3})
    scene.fold(*late, woken=(upload,))
    scene.ask(upload, "run")
    control.look()
    mend(scene)
    assert scene.upload(upload).status == "cancelled"
    assert scene.totals(upload) == (30, 27, 3, 0, 10, {"VAL_001": 3})
    assert [event for event in scene.events(upload) if event in ("upload_cancelled", closing.EVENT)] == [
        "upload_cancelled",
        closing.EVENT,
    ]
    assert check(database_url) == []


def test_a_chunk_whose_time_runs_ahead_is_counted_when_its_upload_is_closed(
    scene: Scene, control: Control, database_url: str
) -> None:
    upload = half_done(scene)
    scene.work(scene.result(upload, 2, duration_ms=60_000))  # it was decoded before its transaction began
    scene.ask(upload, "cancel")
    control.look()
    assert scene.totals(upload) == (30, 27, 3, 0, 10, {"VAL_001": 3})
    assert check(database_url) == []


def test_an_upload_is_cancelled_before_anybody_noted_it(scene: Scene, control: Control, database_url: str) -> None:
    upload = scene.accept()
    scene.ask(upload, "cancel")
    control.look()
    assert (scene.upload(upload).status, scene.upload(upload).total_records) == ("cancelled", 0)
    assert check(database_url) == []


def test_a_cancellation_that_was_noted_goes_before_the_end_of_the_upload(scene: Scene, database_url: str) -> None:
    upload = half_done(scene)
    scene.split(upload, chunks=3)
    scene.ask(upload, "cancel")
    closing.after(scene.engine, scene.fold(*scene.work(scene.result(upload, 2))))
    assert scene.upload(upload).status == "cancelled"
    assert scene.totals(upload) == (30, 27, 3, 0, 0, {"VAL_001": 3})
    assert check(database_url) == []


def test_an_upload_whose_file_is_awaited_is_left_to_the_gateway(scene: Scene, control: Control) -> None:
    upload = scene.accept(status="awaiting_upload")
    scene.ask(upload, "cancel")
    control.look()
    assert scene.upload(upload).status == "awaiting_upload"


def test_two_auditors_at_once_follow_once(scene: Scene) -> None:
    uploads = [half_done(scene) for _ in range(3)]
    for upload in uploads:
        scene.ask(upload, "cancel")
    threads = [threading.Thread(target=Control(scene.engine, Health()).look) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    for upload in uploads:
        assert scene.events(upload).count("upload_cancelled") == 1
        assert scene.events(upload).count(closing.EVENT) == 1
        assert [version for version, _ in told(scene, upload)] == [2, 3, 4]


@pytest.mark.usefixtures("following")
def test_a_notification_wakes_and_without_one_it_is_found_soon(scene: Scene) -> None:
    woken, found = half_done(scene), half_done(scene)
    scene.ask(woken, "pause")
    scene.execute(f"SELECT pg_notify('{CHANNEL}', '')")
    until(lambda: scene.upload(woken).status == "paused", what="the upload that was told of to be paused")
    scene.ask(found, "pause")
    until(lambda: scene.upload(found).status == "paused", what="the upload that nobody told of to be paused")


@pytest.mark.usefixtures("following")
def test_its_connection_may_be_cut(scene: Scene) -> None:
    upload = half_done(scene)
    listening = "query LIKE 'LISTEN%' OR query LIKE '%upload_control%'"
    until(
        lambda: scene.kill_sessions(f"application_name = 'rowstream-auditor' AND ({listening})") > 0,
        what="a session to be cut",
    )
    scene.ask(upload, "pause")
    until(lambda: scene.upload(upload).status == "paused", seconds=30, what="the upload to be paused")


def test_what_is_not_followed_is_repaired(scene: Scene, database_url: str) -> None:
    paused, cancelled, fresh = (half_done(scene) for _ in range(3))
    scene.ask(paused, "pause", seconds_ago=30)
    scene.ask(cancelled, "cancel", seconds_ago=30)
    scene.ask(fresh, "pause")
    before = repairs("control")
    mend(scene, grace_seconds=10)
    assert [scene.upload(one).status for one in (paused, cancelled, fresh)] == ["paused", "cancelled", "processing"]
    assert repairs("control") - before == 2
    assert "repaired" in scene.events(paused)
    mend(scene)
    assert closing.EVENT in scene.events(cancelled)
    assert check(database_url) == []


def test_a_lane_that_is_held_for_very_long_does_not_leave_an_upload_open(scene: Scene) -> None:
    upload = half_done(scene)
    scene.ask(upload, "cancel")
    mender = Reconciler(scene.engine, AuditorSlice(grace_seconds=0), Health())
    with scene.owner.begin() as processor:
        processor.execute(text("SELECT 1 FROM upload_lanes FOR UPDATE"))
        Control(scene.engine, Health()).look()
        mender.round()
        scene.execute("UPDATE batch_uploads SET completed_at = completed_at - interval '1 h'")
        assert closing.EVENT not in scene.events(upload)
    mender.round()
    assert closing.EVENT in scene.events(upload)


@pytest.mark.parametrize("told_first", ["result", "split", "control", "reconciler", "nothing"])
def test_what_the_attempt_before_left_over_is_not_counted_twice(
    scene: Scene, control: Control, database_url: str, told_first: str
) -> None:
    upload = cut_short(scene)
    scene.retry(upload)
    match told_first:
        case "control":
            control.look()
            assert (scene.totals(upload)[4], scene.upload(upload).total_records) == (0, None)
        case "reconciler":
            mend(scene)
    scene.note_again(upload, 2)
    rest = [scene.result(upload, chunk, attempt=2) for chunk in (2, 3)]
    scene.work(*rest)
    if told_first == "result":
        scene.fold(rest[0])
    scene.split(upload, chunks=4)
    if told_first == "split":
        scene.fold(woken=(upload,))
    scene.fold(*rest, woken=(upload,))
    row = scene.upload(upload)
    assert (row.status, row.attempt, row.total_records, row.failure_code) == ("completed", 2, 40, None)
    assert scene.totals(upload) == (40, 36, 4, 0, 0, {"VAL_001": 4})
    assert scene.events(upload).count("upload_retried") == 1
    assert row.completed_at is not None
    versions = [version for version, _ in told(scene, upload)]
    assert versions == sorted(set(versions))
    assert check(database_url) == []


def test_an_upload_that_is_cut_short_at_each_attempt_counts_its_rest_once(scene: Scene, database_url: str) -> None:
    upload = cut_short(scene)
    for attempt, split in ((2, 50), (3, 60)):
        scene.retry(upload)
        scene.note_again(upload, attempt)
        scene.fail(upload, records_split=split)
        closing.after(scene.engine, scene.fold(woken=(upload,)))
        assert scene.upload(upload).total_records == split
        assert scene.totals(upload) == (20, 18, 2, 0, split - 20, {"VAL_001": 2})
    assert check(database_url) == []


def test_a_retried_upload_may_be_cancelled_before_anybody_noted_it(
    scene: Scene, control: Control, database_url: str
) -> None:
    upload = cut_short(scene)
    scene.retry(upload)
    scene.ask(upload, "cancel")
    control.look()
    assert (scene.upload(upload).status, scene.upload(upload).total_records) == ("cancelled", 40)
    assert scene.totals(upload) == (20, 18, 2, 0, 20, {"VAL_001": 2})
    assert check(database_url) == []


def test_chunks_that_were_given_up_on_are_replaced_by_what_the_next_attempt_makes_of_them(
    scene: Scene, control: Control, database_url: str
) -> None:
    upload = scene.accept()
    scene.note(upload)
    scene.split(upload, chunks=2)
    scene.fold(*scene.work(scene.unprocessed(upload, 0), scene.result(upload, 1)))
    assert scene.upload(upload).status == "failed"
    scene.retry(upload)
    control.look()
    assert scene.totals(upload) == (10, 9, 1, 0, 10, {"VAL_001": 1})
    scene.note_again(upload, 2)
    scene.split(upload, chunks=2)
    scene.fold(woken=(upload,))
    assert scene.upload(upload).status == "processing"
    scene.execute("DELETE FROM processed_chunks WHERE chunk_number = 0")
    scene.fold(*scene.work(scene.result(upload, 0, attempt=2)))
    assert scene.upload(upload).status == "completed"
    assert scene.totals(upload) == (20, 18, 2, 0, 0, {"VAL_001": 2})
    assert check(database_url) == []


def test_a_result_of_the_attempt_before_that_comes_late_counts_once(scene: Scene, database_url: str) -> None:
    upload = cut_short(scene)
    late = scene.work(scene.result(upload, 2))  # judged before the upload was retried
    scene.retry(upload)
    scene.note_again(upload, 2)
    scene.fold(*late, replace(late[0]))
    scene.split(upload, chunks=4)
    scene.fold(*scene.work(scene.result(upload, 3, attempt=2)), woken=(upload,))
    assert scene.upload(upload).status == "completed"
    assert scene.totals(upload) == (40, 36, 4, 0, 0, {"VAL_001": 4})
    assert check(database_url) == []


def test_a_retry_whose_announcement_was_lost_is_announced_again(scene: Scene) -> None:
    lost, fresh, noted = cut_short(scene), cut_short(scene), cut_short(scene)
    for upload, seconds in ((lost, 25), (fresh, 0), (noted, 25)):
        scene.retry(upload, seconds_ago=seconds)
    scene.note_again(noted, 2)
    before = repairs("upload_accepted")
    mend(scene)
    announced = {one: [row for row in scene.sent(one) if row.topic == UPLOADS] for one in (lost, fresh, noted)}
    assert [len(rows) for rows in announced.values()] == [1, 0, 0]
    assert codec.decode(announced[lost][0].payload, UploadAccepted).attempt == 2
    assert repairs("upload_accepted") - before == 1
