"""While the database is away nothing is taken or lost and no try is used up; work goes on when it is back."""

import time
from pathlib import Path

import httpx
import pytest

from rowstream.runtime.settings import StorageSettings
from tests import servers
from tests.services import process_of, publish
from tests.uploads import chunks_of, members, received, uploads_in


@pytest.mark.parametrize("alone", [False, True], ids=["in batches", "chunk by chunk"])
def test_a_database_that_goes_away_and_comes_back(
    tmp_path: Path, own_broker: servers.Server, store_settings: StorageSettings, *, alone: bool
) -> None:
    with servers.postgres_server(tmp_path) as server, server.fresh_database() as url, uploads_in(url) as uploads:
        upload = uploads.accept()
        uploads.note(upload, lanes=1)
        chunks = chunks_of(members(300), upload, chunk_records=10)
        if alone:
            uploads.execute(
                "INSERT INTO partitions_in_work (topic, partition, worker) SELECT 'rowstream.chunks.v1', n, 'dead'"
                " FROM generate_series(0, 63) n"
            )
        uploads.execute(
            "CREATE FUNCTION linger() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN PERFORM pg_sleep(0.2); RETURN NULL; END $$"
        )
        uploads.execute("CREATE TRIGGER linger AFTER INSERT ON processed_chunks EXECUTE FUNCTION linger()")
        with process_of(
            "record_processor", tmp_path, database=url, broker=own_broker.address, storage=store_settings,
            facts={"PROCESSOR__BATCH_CHUNKS": "10" if alone else "2"},
        ) as process:  # fmt: skip
            publish(own_broker.address, *map(received, chunks))
            servers.until(lambda: len(uploads.ledger(upload)) > 1, what="movement")
            server.kill()
            servers.until(lambda: process.readiness()[0] == 503, what="a reason")
            assert process.readiness()[1][0].startswith("work: ")
            time.sleep(5)  # longer than two sessions: it stays a member
            assert httpx.get(f"http://127.0.0.1:{process.port}/healthz", timeout=5).status_code == 200
            server.start()
            servers.until(lambda: len(uploads.ledger(upload)) == 30, seconds=60, what="the end")
            servers.until(lambda: process.readiness()[0] == 200, what="readiness")
            assert process.leave() == 0
            assigned = [line for line in process.log_lines() if line["event"] == "partitions assigned"]
            assert len(assigned) == 1
        assert {row.outcome for row in uploads.ledger(upload)} == {"loaded"}
        assert sorted(uploads.loaded(upload)) == list(range(2, 302))
        assert uploads.execute("SELECT * FROM chunk_attempts") == uploads.execute("SELECT * FROM dead_letters") == []
