"""The one list of all metrics; the reference in the docs is made from it.

Labels stay bounded: a service, a record type, an error code; never an upload, an organization or a record.
"""

import math
import shutil
import tempfile
from functools import partial
from typing import Literal

from prometheus_client import Counter, Gauge, Histogram

RECORDS_PROCESSED = Counter(
    "batch_upload_records_processed_total", "Records that got their outcome, as folded by the auditor.", ["record_type"]
)
RECORDS_FAILED = Counter(
    "batch_upload_records_failed_total",
    "Records rejected, by error code (other: what can be no code), as folded by the auditor.",
    ["record_type", "code"],
)
PROCESSING_DURATION = Histogram(
    "batch_upload_processing_duration_seconds",
    "From acceptance to the end of an upload, by the database's clock.",
    ["record_type", "status"],
    buckets=(0.25, 0.5, 1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200),
)
CHUNK_SIZE = Gauge("batch_upload_chunk_size", "Records in the chunk cut last.", ["record_type"])
UPLOADS_ACCEPTED = Counter("rowstream_uploads_accepted_total", "Uploads accepted, by way in.", ["source_type"])
S3_EVENTS = Counter("rowstream_s3_events_total", "Events of object stores, by what became of them.", ["outcome"])
UPLOADS_SENT = Counter(
    "rowstream_uploads_sent_total",
    "Uploads accepted over HTTP, by how their files came: presigned, content, parts or reference.",
    ["how"],
)
UPLOADS_FINISHED = Counter(
    "rowstream_uploads_finished_total",
    "Uploads that reached an end, by status and, of those that failed, by failure code.",
    ["status", "code"],
)
UPLOADS_OPEN = Gauge("rowstream_open_uploads", "Uploads that have not ended, by status.", ["status"])
OLDEST_UPLOAD = Gauge("rowstream_oldest_upload_seconds", "Age of the oldest upload that has not ended.", ["status"])
UNPROCESSED_CHUNKS = Gauge(
    "rowstream_unprocessed_chunks",
    "Chunks that were given up on and wait for somebody to redrive their uploads, which failed in the last days.",
)
REQUESTS = Counter("rowstream_http_requests_total", "Answers of the API.", ["method", "route", "status"])
REQUEST_DURATION = Histogram(
    "rowstream_http_request_duration_seconds", "Time to answer a request.", ["method", "route"]
)
REFUSED = Counter("rowstream_refused_total", "Requests, connections and uploads refused, by reason.", ["reason"])
LOG_INS = Counter(
    "rowstream_log_ins_total",
    "Sessions opened, gone on with, and refused, by way (password, provider, refresh) and outcome.",
    ["way", "outcome"],
)
CONSUMER_LAG = Gauge("rowstream_consumer_lag", "Messages not yet taken by this consumer.", ["topic"])
MESSAGES_CONSUMED = Counter("rowstream_messages_consumed_total", "Messages taken from a topic.", ["topic"])
MESSAGES_PRODUCED = Counter("rowstream_messages_produced_total", "Messages acknowledged by the broker.", ["topic"])
PRODUCE_FAILURES = Counter("rowstream_produce_failures_total", "Messages that the broker did not take.", ["topic"])
DEAD_LETTERS = Counter(
    "rowstream_dead_letters_total", "Messages put aside as unreadable, each once the broker has it.", ["topic"]
)
OUTBOX_AGE = Gauge("rowstream_outbox_oldest_seconds", "Age of the oldest message that is stored and not yet published.")
OUTBOX_PUBLISHED = Counter("rowstream_outbox_published_total", "Messages published from the outbox.", ["topic"])
SFTP_LOOKS = Counter(
    "rowstream_sftp_looks_total",
    "Looks at partners' SFTP servers, by what came of them; elsewhere: another gateway was at it.",
    ["source", "outcome"],
)
SFTP_AWAY = Gauge(
    "rowstream_sftp_away", "1 while a partner's files cannot be had for this reason, otherwise 0.", ["source", "reason"]
)
SFTP_FILES = Counter(
    "rowstream_sftp_files_total",
    "Files of partners: taken, again (taken before), changed while they were read, left, stays (cannot be put aside).",
    ["source", "outcome"],
)
SFTP_BYTES = Counter("rowstream_sftp_bytes_total", "Bytes fetched from partners.", ["source"])
SFTP_FILES_WAITING = Gauge("rowstream_sftp_files_waiting", "Files that may still be written to.", ["source"])
SFTP_FILES_LEFT = Gauge("rowstream_sftp_files_left", "Files that cannot be taken.", ["source"])
RECORDS_SPLIT = Counter("rowstream_splitter_records_total", "Records cut into chunks.", ["record_type"])
BYTES_READ = Counter("rowstream_splitter_bytes_read_total", "Bytes read from the object store.")
BLOCKS_READ = Counter("rowstream_splitter_blocks_total", "Blocks of a file, by the reader that took them.", ["reader"])
CHUNKS_SENT = Counter("rowstream_splitter_chunks_sent_total", "Chunks sent, by reason.", ["reason"])
CHUNKS_IN_FLIGHT = Gauge(
    "rowstream_splitter_chunks_in_flight", "Chunks sent by this splitter that have no ledger row yet."
)
LEASES_HELD = Gauge("rowstream_splitter_leases", "Uploads that this splitter is splitting.")
CHUNKS_SETTLED = Counter(
    "rowstream_processor_chunks_total", "Chunks taken, by what became of them.", ["record_type", "outcome"]
)
BATCH_STAGE_DURATION = Counter(
    "rowstream_processor_stage_seconds_total", "Seconds spent in each stage of a batch.", ["stage"]
)
COLLISIONS = Counter("rowstream_processor_collisions_total", "Batches loaded through staging since a key was there.")
RECORDS_REFUSED = Counter(
    "rowstream_processor_refused_records_total", "Records that the database refused alone.", ["record_type"]
)
CHUNK_FAILURES = Counter(
    "rowstream_processor_chunk_failures_total", "Chunks that stay unprocessed, by error code.", ["code"]
)
ANNOUNCEMENTS = Counter(
    "rowstream_processor_announcements_total", "Accepted records announced after their commit.", ["record_type"]
)
LATE_ANNOUNCEMENTS = Counter(
    "rowstream_processor_announcements_late_total",
    "Accepted records announced from the table, since it was not known that they had been.",
    ["record_type"],
)
UNDONE_RECORDS = Counter(
    "rowstream_processor_undone_records_total", "Rows of cancelled uploads taken out again.", ["record_type"]
)
WAITING = Gauge("rowstream_waiting", "1 while this process cannot work for want of a part, otherwise 0.", ["part"])
DEGRADED = Gauge("rowstream_degraded", "1 while this process works on without a part, otherwise 0.", ["part"])
DISK_FREE = Gauge("rowstream_disk_free_bytes", "Room on the disk of the working or the temporary folder.", ["folder"])
DISK_SIZE = Gauge("rowstream_disk_size_bytes", "Size of the disk of the working or the temporary folder.", ["folder"])
REPAIRS = Counter("rowstream_reconciler_repairs_total", "What the reconciler mended, by kind.", ["kind"])
STUCK_UPLOADS = Gauge("rowstream_stuck_uploads", "Uploads that nobody is moving though somebody should.")

_FOLDERS = {"working": ".", "temporary": tempfile.gettempdir()}


def _room(folder: str, kind: Literal["free", "total"]) -> float:
    """Bytes; not a number where the folder is gone, since one figure that is missing is not to cost all the others."""
    try:
        return float(getattr(shutil.disk_usage(folder), kind))
    except OSError:
        return math.nan


for _name, _folder in _FOLDERS.items():  # asked at each scrape
    DISK_FREE.labels(_name).set_function(partial(_room, _folder, "free"))
    DISK_SIZE.labels(_name).set_function(partial(_room, _folder, "total"))
