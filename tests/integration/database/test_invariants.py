"""Each way to lose or double one thing by hand is found, and named; a sound database gives nothing."""

from collections.abc import Iterator
from uuid import UUID

import pytest

from auditor import closing
from rowstream.database.invariants import check
from tests.integration.auditor.scene import Scene, scene_of
from tests.postgres_versions import every_postgres

postgres = every_postgres


@pytest.fixture
def scene(database_url: str) -> Iterator[Scene]:
    with scene_of(database_url) as scene:
        yield scene


def completed(scene: Scene, chunks: int = 5) -> UUID:
    upload = scene.accept()
    scene.note(upload)
    results = scene.work(*(scene.result(upload, chunk) for chunk in range(chunks)))
    scene.split(upload, chunks=chunks)
    scene.fold(*results)
    return upload


def cut_short(scene: Scene) -> UUID:
    upload = scene.accept()
    scene.note(upload)
    scene.fold(*scene.work(scene.result(upload, 0)))
    scene.fail(upload, records_split=25)
    scene.fold(woken=(upload,))
    with scene.engine.begin() as connection:
        closing.close(connection, upload)
    return upload


def test_nothing_is_found_where_nothing_is_wrong(scene: Scene, database_url: str) -> None:
    completed(scene)
    completed(scene, chunks=0)
    cut_short(scene)
    unprocessed = scene.accept()
    scene.note(unprocessed)
    scene.split(unprocessed, chunks=2)
    scene.fold(*scene.work(scene.unprocessed(unprocessed, 0), scene.result(unprocessed, 1)))
    under_way = scene.accept()
    scene.note(under_way)
    scene.work(scene.result(under_way, 0), scene.result(under_way, 1))
    scene.fold(scene.result(under_way, 1))
    scene.accept(status="awaiting_upload")
    scene.accept(status="failed")
    scene.accept()
    assert check(database_url) == []
    assert {scene.upload(one).status for one in (unprocessed, under_way)} == {"failed", "processing"}


@pytest.mark.parametrize(
    ("meddling", "invariant", "words"),
    [
        pytest.param(
            "DELETE FROM things WHERE batch_upload_id = :done AND row_number = 23",
            "I1",
            "44 rows are loaded, the ledger says 45",
            id="a loaded row is lost",
        ),
        pytest.param(
            "INSERT INTO things (organization_id, name, batch_upload_id, row_number)"
            " SELECT organization_id, 'new', id, 21 FROM batch_uploads WHERE id = :done",
            "I1",
            "46 rows are loaded, the ledger says 45",
            id="a loaded row is there twice",
        ),
        pytest.param(
            "UPDATE things SET row_number = 24 WHERE batch_upload_id = :done AND row_number = 23",
            "I1",
            "more than one place, among them 24",
            id="a row number is taken twice",
        ),
        pytest.param(
            "UPDATE things SET row_number = 99 WHERE batch_upload_id = :done AND row_number = 23",
            "I1",
            "rows 2 to 99 are stored, the ledger speaks of rows 2 to 51",
            id="a row number that the file does not have",
        ),
        pytest.param(
            "DELETE FROM batch_upload_errors WHERE batch_upload_id = :done AND row_number = 21",
            "I1",
            "4 rejections are stored, the ledger says 5",
            id="a rejection is lost",
        ),
        pytest.param(
            "INSERT INTO batch_upload_errors"
            " (organization_id, batch_upload_id, row_number, error_code, error_message, errors)"
            " SELECT organization_id, id, 3, 'VAL_001', 'm', '[]' FROM batch_uploads WHERE id = :done",
            "I1",
            "more than one place, among them 3",
            id="a loaded row is rejected as well",
        ),
        pytest.param(
            "UPDATE batch_upload_errors SET error_code = 'VAL_002' WHERE batch_upload_id = :done AND row_number = 21",
            "I1",
            "rejections by code are VAL_001 4, VAL_002 1, the ledger says VAL_001 5",
            id="a rejection has another code",
        ),
        pytest.param(
            "INSERT INTO held_records SELECT organization_id, id, 3, 'thing', 'k', '{}', '{}' FROM batch_uploads"
            " WHERE id = :done",
            "I1",
            "1 records are held, the ledger says 0",
            id="a loaded row is held as well",
        ),
        pytest.param(
            "DELETE FROM processed_chunks WHERE batch_upload_id = :done AND chunk_number = 2",
            "I2",
            "lane 0 waits for chunk 3 of its own but has 2 in the ledger",
            id="a ledger row is lost",
        ),
        pytest.param(
            "DELETE FROM processed_chunks WHERE batch_upload_id = :done AND chunk_number = 4",
            "I2",
            "4 chunks have a ledger row, the splitter made 5",
            id="the last ledger row is lost",
        ),
        pytest.param(
            "INSERT INTO processed_chunks SELECT (jsonb_populate_record(NULL::processed_chunks,"
            """ to_jsonb(c) || '{"chunk_number": 5, "lane_seq": 2}')).* FROM processed_chunks c"""
            " WHERE batch_upload_id = :done AND chunk_number = 3",
            "I2",
            "lane 1 waits for chunk 2 of its own but has 3 in the ledger",
            id="a ledger row is there twice",
        ),
        pytest.param(
            "UPDATE processed_chunks SET chunk_number = 77 WHERE batch_upload_id = :done AND chunk_number = 3",
            "I2",
            "1 ledger rows are not of the lane and place that their chunk number says",
            id="a ledger row has another number",
        ),
        pytest.param(
            "UPDATE processed_chunks SET succeeded_records = 8 WHERE batch_upload_id = :done AND chunk_number = 3",
            "I2",
            "1 ledger rows do not add up to their records",
            id="a ledger row does not add up",
        ),
        pytest.param(
            "DELETE FROM batch_upload_audit_logs WHERE batch_upload_id = :done AND chunk_number = 3",
            "I3",
            "the audit log has 36 succeeded, the ledger 45",
            id="a row of the audit log is lost",
        ),
        pytest.param(
            "UPDATE batch_uploads SET succeeded_records = 46 WHERE id = :done",
            "I3",
            "the upload's row has 46 succeeded, the ledger 45",
            id="a total is another",
        ),
        pytest.param(
            "UPDATE batch_uploads SET processed_records = 49 WHERE id = :done",
            "I3",
            "the upload's row has 49 processed, but its outcomes add up to 50",
            id="the total of totals is another",
        ),
        pytest.param(
            "UPDATE batch_uploads SET unprocessed_records = 1 WHERE id = :done",
            "I3",
            "the upload's row has 1 unprocessed, the ledger 0",
            id="an unprocessed record too many",
        ),
        pytest.param(
            """UPDATE batch_uploads SET errors_by_code = '{"VAL_001": 4}' WHERE id = :done""",
            "I3",
            "the upload's row has VAL_001 4 by code, the ledger VAL_001 5",
            id="a total by code is another",
        ),
        pytest.param(
            "UPDATE batch_uploads SET total_records = 51 WHERE id = :done",
            "I1",
            "51 records, but 45 loaded + 5 rejected + 0 held + 0 unprocessed = 50",
            id="the file has one record more",
        ),
        pytest.param(
            "UPDATE upload_splits SET records = 51 WHERE batch_upload_id = :done",
            "I1",
            "50 records, but the splitter found 51",
            id="the splitter found one record more",
        ),
        pytest.param(
            "UPDATE things SET batch_upload_id = '00000000-0000-0000-0000-000000000007'"
            " WHERE batch_upload_id = :done AND row_number = 23",
            "I1",
            "1 records of organization",
            id="a row of no upload",
        ),
    ],
)
def test_meddling_is_found(scene: Scene, database_url: str, meddling: str, invariant: str, words: str) -> None:
    done, other = completed(scene), completed(scene)
    scene.execute(meddling, done=done)
    found = check(database_url)
    assert [str(one) for one in found if one.invariant == invariant and words in one.what], [str(one) for one in found]
    assert other not in {one.upload_id for one in found}


def test_rows_that_were_taken_out_again_are_counted(scene: Scene, database_url: str) -> None:
    upload = completed(scene)
    scene.ask(upload, "cancel", undo=True)
    scene.execute("DELETE FROM things WHERE batch_upload_id = :id", id=upload)
    assert any("0 rows are loaded, the ledger says 45" in one.what for one in check(database_url))
    scene.execute("UPDATE upload_control SET undone_records = 44")
    assert any("44 rows are loaded or were taken out again" in one.what for one in check(database_url))
    scene.execute("UPDATE upload_control SET undone_records = 45")
    assert check(database_url) == []


def test_each_attempt_at_a_chunk_that_was_given_up_on_has_its_dead_letter(scene: Scene, database_url: str) -> None:
    upload = scene.accept()
    scene.note(upload)
    scene.split(upload, chunks=2)
    scene.fold(*scene.work(scene.unprocessed(upload, 0), scene.result(upload, 1)))
    assert check(database_url) == []
    scene.execute("UPDATE processed_chunks SET attempt = 2 WHERE chunk_number = 0")
    found = [str(one) for one in check(database_url)]
    assert any("1 unprocessed chunks have no dead letter of their attempt" in one for one in found), found
    scene.execute("DELETE FROM dead_letters")
    scene.execute("UPDATE processed_chunks SET attempt = 1 WHERE chunk_number = 0")
    assert [one.invariant for one in check(database_url)] == ["I2"]


def test_a_row_of_another_organization_is_found(scene: Scene, database_url: str) -> None:
    done = completed(scene)
    scene.execute("INSERT INTO organizations (id, name) VALUES ('00000000-0000-0000-0000-000000000009', 'other')")
    scene.execute("UPDATE things SET organization_id = '00000000-0000-0000-0000-000000000009' WHERE row_number = 23")
    assert any("which is no upload of theirs" in one.what for one in check(database_url) if one.upload_id == done)


def test_an_upload_cut_short_must_account_for_what_was_split(scene: Scene, database_url: str) -> None:
    upload = cut_short(scene)
    scene.execute("UPDATE batch_uploads SET unprocessed_records = 14")
    assert {one.invariant for one in check(database_url)} == {"I1", "I3"}
    scene.execute("UPDATE batch_uploads SET unprocessed_records = 15")
    assert check(database_url) == []
    assert scene.totals(upload)[4] == 15


def test_a_login_that_cannot_see_everything_is_told_so(scene: Scene, database_url: str) -> None:
    completed(scene)
    scene.execute("CREATE ROLE looker LOGIN IN ROLE rowstream_gateway")
    try:
        with pytest.raises(Exception, match=r"row-level security|permission denied"):
            check(database_url.replace("postgres@", "looker@"))
    finally:
        scene.execute("DROP ROLE looker")
