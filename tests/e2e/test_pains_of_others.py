"""What users of other systems lost, or waited for in vain: the same happens here, to a whole system.

Each test names the public report that it answers. More of them are beside what they are about; all of them are listed
in `docs/explanation/what-others-lose.md`.
"""

import csv
import io
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import Final, LiteralString

import psutil
import psycopg
import pytest
from psycopg import sql

from rowstream.database.invariants import check
from rowstream.records import registry
from rowstream.records.sample import write_sample
from tests.bench.workload import RECORD_TYPE, hand_in, wait_for
from tests.servers import until
from tests.uploads import csv_of, member, members
from tests.whole_system import System, loaded_rows, planted_rows, rejected_rows, running

ROWS = 20_000
PATIENCE = 120.0
# Small chunks, so that a file of this size is under way for a moment; and no long wait for what died.
SETTINGS = {
    "ROWSTREAM_SPLITTER__CHUNK_RECORDS": "100",
    "ROWSTREAM_SPLITTER__STALL_SECONDS": "4",
    "ROWSTREAM_SPLITTER__LEASE_SECONDS": "4",
}
FAILS: Final = "RAISE EXCEPTION 'broken' USING ERRCODE = 'XX000'"
SWALLOWS: Final = "RETURN NULL"


class Home:
    """One state folder and the system that runs on it; with one processor, so that one file could hold up the next."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._open = folder, ExitStack()
        self.system = self._start()

    def pull_the_plug(self) -> None:
        """End everything in the same moment, as a power cut does: no part can say or store another word."""
        parts = [self.system.process, *self.system.process.children(recursive=True)]
        for part in parts:
            with suppress(psutil.NoSuchProcess):
                part.kill()
        psutil.wait_procs(parts[1:], timeout=30)

    def start_again(self) -> None:
        self.close()
        self.system = self._start()

    def close(self) -> None:
        self._open.close()

    def _start(self) -> System:
        return self._open.enter_context(running(self._folder, processors=1, settings=SETTINGS))


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    with closing(Home(tmp_path_factory.mktemp("pains") / "state")) as home:
        yield home
        assert check(home.system.addresses["database"]) == []


@pytest.fixture
def system(home: Home) -> System:
    return home.system


@contextmanager
def loading(system: System, member_id: str, does: LiteralString) -> Iterator[None]:
    """Whenever the record of this member is to be loaded, the database does this."""
    with psycopg.connect(system.addresses["database"], autocommit=True) as connection:
        connection.execute(
            sql.SQL("CREATE FUNCTION trouble() RETURNS trigger LANGUAGE plpgsql AS {}").format(f"BEGIN {does}; END")
        )
        connection.execute(
            sql.SQL(
                "CREATE TRIGGER trouble BEFORE INSERT ON member_certifications FOR EACH ROW"
                " WHEN (new.member_id = {}) EXECUTE FUNCTION trouble()"
            ).format(member_id)
        )
        try:
            yield
        finally:
            connection.execute("DROP FUNCTION trouble CASCADE")


def chunks_since_the_start(system: System, upload_id: str) -> int:
    """How many chunks of the upload were worked since its database was started."""
    query = "SELECT 1 FROM processed_chunks WHERE batch_upload_id = %s AND started_at > pg_postmaster_start_time()"
    with psycopg.connect(system.addresses["database"]) as connection:
        return len(connection.execute(query, [upload_id]).fetchall())


def test_a_crash_of_everything_leaves_no_upload_under_way_for_ever(home: Home, tmp_path: Path) -> None:
    """Spring Batch 1849 and 4876: a job whose process was killed stays STARTED until a person mends its tables."""
    file, truth = tmp_path / "members.csv", tmp_path / "truth.jsonl"
    with file.open("wb") as output, truth.open("w") as planted:
        write_sample(registry.find(RECORD_TYPE), ROWS, output=output, truth=planted)
    with home.system.api as api:
        upload_id = hand_in(api, file)
        shown = f"/api/v1/batch_uploads/{upload_id}"
        until(lambda: api.get(shown).json()["processed_records"] > 0, seconds=PATIENCE, what="some outcomes")
        assert api.get(shown).json()["status"] == "processing"
    home.pull_the_plug()

    home.start_again()
    with home.system.api as api:
        upload = wait_for(api, upload_id, every=0.2, seconds=PATIENCE)
    assert chunks_since_the_start(home.system, upload_id) > 0, "it was over before the crash; make the file longer"
    assert (upload["status"], upload["attempt"], upload["processed_records"]) == ("completed", 1, ROWS)
    assert rejected_rows(home.system, upload_id) == planted_rows(truth)
    assert loaded_rows(home.system, upload_id) == set(range(2, ROWS + 2)) - planted_rows(truth).keys()


def test_files_that_are_stuck_or_fail_do_not_hold_up_the_next_one(system: System) -> None:
    """FilePulse 129: once the connector has failed on one file, it takes in no other."""
    with system.api as api, loading(system, "M3", FAILS):
        stuck = hand_in(api, members(ROWS, start=10_000))
        paused = api.post(f"/api/v1/batch_uploads/{stuck}/pause").status_code
        assert paused == 202, "it was over before the pause; make the file longer"
        failing = [hand_in(api, b"no,such,columns\n1,2,3\n"), hand_in(api, members(10))]
        after = hand_in(api, members(10, start=10))
        assert wait_for(api, after, every=0.1, seconds=PATIENCE)["status"] == "completed"
        assert api.get(f"/api/v1/batch_uploads/{stuck}").json()["completed_at"] is None
        ended = [wait_for(api, upload_id, every=0.1, seconds=PATIENCE) for upload_id in failing]
        assert [(upload["status"], upload["failure_code"]) for upload in ended] == [
            ("failed", "FMT_003"),
            ("failed", "UNK_001"),
        ]
        assert api.post(f"/api/v1/batch_uploads/{stuck}/resume").status_code == 202
        assert wait_for(api, stuck, every=0.1, seconds=PATIENCE)["succeeded_records"] == ROWS


def test_rows_that_the_database_loses_are_never_reported_as_loaded(system: System) -> None:
    """Airbyte 27124: rows that the destination skips are dropped, and the load is marked successful."""
    file = csv_of([*(member(f"lost-{number}") for number in range(10)), member("lost-10", work_hours="many")])
    with system.api as api:
        with loading(system, "Mlost-5", SWALLOWS):
            upload_id = hand_in(api, file)
            failed = wait_for(api, upload_id, every=0.1, seconds=PATIENCE)
        assert (failed["status"], failed["failure_code"]) == ("failed", "UNK_001")
        assert (failed["succeeded_records"], failed["unprocessed_records"]) == (0, 11)
        assert loaded_rows(system, upload_id) == set()
        assert api.post(f"/api/v1/batch_uploads/{upload_id}/retry").status_code == 202
        upload = wait_for(api, upload_id, every=0.1, seconds=PATIENCE)
    assert (upload["status"], upload["succeeded_records"], upload["failed_records"]) == ("completed", 10, 1)
    assert loaded_rows(system, upload_id) == set(range(2, 12))
    assert rejected_rows(system, upload_id) == {12: "VAL_005"}


@pytest.mark.parametrize("line_end", ["\n", "\r\n"], ids=["LF", "CRLF"])
def test_totals_are_right_when_cells_hold_line_ends(system: System, line_end: str) -> None:
    """maintenance_tasks 977: lines are counted for records, so a finished task says that it did 2 of 4 (50 %)."""
    columns = ("member_id", "case_number", "member_email", "certification_date", "certification_type", "address")
    address = line_end.join(["elephant", "zebra", "", "giraffe"])
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator=line_end)
    writer.writerow(columns)
    for row in range(2, 202):
        day = "2026-01-31" if row != 150 else "tomorrow"
        writer.writerow((f"N{row}", len(line_end), "a@example.org", day, "recertification", address))
    with system.api as api:
        upload_id = hand_in(api, text.getvalue().encode())
        upload = wait_for(api, upload_id, every=0.1, seconds=PATIENCE)
    assert upload["status"] == "completed"
    assert (upload["total_records"], upload["processed_records"], upload["records_split"]) == (200, 200, 200)
    assert rejected_rows(system, upload_id) == {150: "VAL_002"}
    assert loaded_rows(system, upload_id) == set(range(2, 202)) - {150}
    whole = "SELECT count(*) FROM member_certifications WHERE batch_upload_id = %s AND address = %s"
    with psycopg.connect(system.addresses["database"]) as connection:
        assert connection.execute(whole, [upload_id, address]).fetchone() == (199,)
