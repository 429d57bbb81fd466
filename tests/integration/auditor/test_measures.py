"""The gauges say how uploads stand, from the database, and go back when that does."""

from prometheus_client import REGISTRY

from auditor import measures
from auditor.measures import measure
from rowstream.ids import new_id
from tests.integration.auditor.scene import Scene

DAY = 86_400.0


def value(name: str, **labels: str) -> float | None:
    return REGISTRY.get_sample_value(name, labels)


def measured(scene: Scene) -> None:
    with scene.engine.connect() as connection:
        measure(connection, remind_seconds=DAY)


def test_open_uploads_are_counted_by_status_with_the_oldest_age(scene: Scene) -> None:
    scene.accept(seconds_ago=500)
    scene.accept()
    scene.accept(status="processing", seconds_ago=90)
    scene.accept(status="completed", seconds_ago=9_000)
    measured(scene)
    assert value("rowstream_open_uploads", status="pending") == 2
    assert 500 <= (value("rowstream_oldest_upload_seconds", status="pending") or 0) < 590
    assert value("rowstream_open_uploads", status="processing") == 1
    assert value("rowstream_open_uploads", status="paused") == 0
    assert value("rowstream_open_uploads", status="completed") is None

    scene.execute("UPDATE batch_uploads SET status = 'cancelled'")
    measured(scene)
    assert value("rowstream_open_uploads", status="pending") == 0
    assert value("rowstream_oldest_upload_seconds", status="pending") == 0


def test_chunks_count_as_given_up_while_somebody_may_redrive_them(scene: Scene) -> None:
    given_up(scene, chunks=3)
    measured(scene)
    assert value("rowstream_unprocessed_chunks") == 3
    scene.execute("UPDATE dead_letters SET redriven_at = now() WHERE chunk_number = 0")
    measured(scene)
    assert value("rowstream_unprocessed_chunks") == 2
    scene.execute("UPDATE batch_uploads SET status = 'cancelled'")
    measured(scene)
    assert value("rowstream_unprocessed_chunks") == 0


def test_nobody_is_reminded_for_ever_of_an_upload_that_nobody_retries(scene: Scene) -> None:
    given_up(scene, chunks=3)
    scene.execute("UPDATE batch_uploads SET completed_at = now() - make_interval(secs => :ago)", ago=DAY - 60)
    measured(scene)
    assert value("rowstream_unprocessed_chunks") == 3
    scene.execute("UPDATE batch_uploads SET completed_at = now() - make_interval(secs => :ago)", ago=DAY + 60)
    measured(scene)
    assert value("rowstream_unprocessed_chunks") == 0


def given_up(scene: Scene, *, chunks: int) -> None:
    """An upload that has failed now, and so many of its chunks that were given up on."""
    scene.accept(status="failed")
    scene.execute("UPDATE batch_uploads SET completed_at = now()")
    for chunk in range(chunks):
        scene.execute(
            "INSERT INTO dead_letters (id, organization_id, batch_upload_id, chunk_number, attempt, reason, tries)"
            " SELECT :id, organization_id, id, :chunk, 1, 'r', 3 FROM batch_uploads",
            id=new_id(),
            chunk=chunk,
        )


def test_counters_that_alerts_look_at_are_there_from_the_start() -> None:
    measures.begin()
    for kind in measures.REPAIR_KINDS:
        assert value("rowstream_reconciler_repairs_total", kind=kind) is not None
    assert value("rowstream_uploads_finished_total", status="failed", code="UNK_001") is not None
