"""Settings that change while an upload is under way, as by a new release."""

from rowstream.storage.s3 import S3Store
from tests.integration.splitter.support import COUNT, FACTS, FILE, chunks_sent, closed, loaded_exactly
from tests.servers import until
from tests.services import announce, processing, splitting
from tests.uploads import Uploads, members


def test_another_size_of_chunks_and_batches_in_the_middle_skips_no_record(
    uploads: Uploads, database_url: str, module_broker: str, store: S3Store
) -> None:
    """maintenance_tasks 796: progress counts batches, so a task whose batches were made larger skips records."""
    upload = uploads.accept_file(store, FILE)
    with splitting(database_url, module_broker, store, **FACTS):
        announce(module_broker, upload)
        until(lambda: len(chunks_sent(module_broker, upload)) == 4, what="a full window")
    with processing(database_url, module_broker, batch_chunks=1):
        until(lambda: len(uploads.ledger(upload)) == 4, what="the outcome of what was sent")
    larger = {**FACTS, "chunk_records": 2 * FACTS["chunk_records"], "lane_bytes": 3 * FACTS["lane_bytes"]}
    with (
        splitting(database_url, module_broker, store, **larger),
        processing(database_url, module_broker, batch_chunks=7),
    ):
        closed(uploads, upload)
        later = uploads.accept_file(store, members(COUNT, start=COUNT))
        announce(module_broker, later)
        closed(uploads, later)
    for one, largest in ((upload, 50), (later, 100)):
        loaded_exactly(uploads, one)
        assert max(row.records for row in uploads.ledger(one)) == largest
