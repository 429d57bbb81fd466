"""The flow of records through the four services, in the order in which a file takes them."""

from deploy.grafana.panels import Dashboard, Panel, Row

_SERVICES = 'job=~"ingest_gateway|splitter|record_processor|auditor"'
_MEMORY_BOUND = 450e6


def _rates(counter: str, *, by: str) -> str:
    return f"sum by ({by}) (rate({counter}[$__rate_interval]))"


WELL = Row(
    "Is all well?",
    [
        Panel(
            title="Alerts that fire", kind="stat", width=4, height=5, steps={"red": 1},
            says="Each has a page of what to do; Prometheus shows which fire.",
            queries={"": 'count(ALERTS{alertstate="firing"}) or vector(0)'},
        ),
        Panel(
            title="Uploads that do not move", kind="stat", width=4, height=5, steps={"red": 1},
            says="Open uploads without movement for a minute though somebody should move them. Somebody is needed.",
            queries={"": "max(rowstream_stuck_uploads)"},
        ),
        Panel(
            title="Chunks given up on", kind="stat", width=4, height=5, steps={"orange": 1},
            says="Chunks with the outcome unprocessed, of failed uploads that nobody has redriven yet.",
            queries={"": "max(rowstream_unprocessed_chunks)"},
        ),
        Panel(
            title="Uploads failed for our reasons, a day", kind="stat", width=4, height=5, unit="percentunit",
            steps={"orange": 0.01, "red": 0.06},
            says="Share of the uploads that ended in a day. The budget is 1 %. No uploads, no value.",
            queries={"": "rowstream:uploads_failed:ratio_rate1d"},
        ),
        Panel(
            title="Records with an outcome", kind="stat", width=4, height=5, unit="ops",
            says="Records a second that became a row or a rejection, over five minutes.",
            queries={"": "sum(rowstream:records_processed:rate5m)"},
        ),
        Panel(
            title="Processes", kind="stat", width=4, height=5,
            says="How many processes of each service answer.",
            queries={"{{job}}": f"sum by (job) (up{{{_SERVICES}}})"},
        ),
    ],
)  # fmt: skip

GATEWAY = Row(
    "1  Gateway: what comes in",
    [
        Panel(
            title="Uploads accepted", unit="ops", stacked=True,
            says="By way in. From here on an upload is never lost.",
            queries={"{{source_type}}": _rates("rowstream_uploads_accepted_total", by="source_type")},
        ),
        Panel(
            title="Uploads that have not ended", stacked=True,
            says="By status, as the database has them. awaiting_upload: the sender has not yet confirmed its file.",
            queries={"{{status}}": "max by (status) (rowstream_open_uploads)"},
        ),
        Panel(
            title="Age of the oldest one", unit="s",
            says="By status. A pending one that grows old waits for a splitter.",
            queries={"{{status}}": 'max by (status) (rowstream_oldest_upload_seconds{status!="awaiting_upload"})'},
        ),
        Panel(
            title="Answers of the API", unit="reqps", stacked=True,
            says="By status. 5xx are faults of ours, or a part that is away.",
            queries={"{{status}}": _rates("rowstream_http_requests_total", by="status")},
        ),
        Panel(
            title="Time to answer, 95 of 100", unit="s", steps={"orange": 1},
            says="The time below which 95 of 100 requests were answered, by route.",
            queries={
                "{{method}} {{route}}": "histogram_quantile(0.95, sum by (le, method, route) "
                "(rate(rowstream_http_request_duration_seconds_bucket[$__rate_interval])))"
            },
        ),
        Panel(
            title="Oldest message not yet published", unit="s", steps={"red": 60},
            says="Of the outbox, by which every service says what it did. Above a minute somebody is needed.",
            queries={"oldest": "max(rowstream_outbox_oldest_seconds)"},
        ),
    ],
)  # fmt: skip

SPLITTER = Row(
    "2  Splitter: files into chunks",
    [
        Panel(
            title="Records cut into chunks", unit="ops", stacked=True,
            says="By record type. Where it stands still while uploads are open, the processors have enough to do.",
            queries={"{{record_type}}": _rates("rowstream_splitter_records_total", by="record_type")},
        ),
        Panel(
            title="Bytes read from the object store", unit="Bps",
            says="Each file is read once; again after a splitter was lost, or for a retry.",
            queries={"read": "sum(rate(rowstream_splitter_bytes_read_total[$__rate_interval]))"},
        ),
        Panel(
            title="Chunks sent", unit="ops", stacked=True,
            says="By reason. What is sent again was lost on its way, or waits for long.",
            queries={"{{reason}}": _rates("rowstream_splitter_chunks_sent_total", by="reason")},
        ),
        Panel(
            title="Uploads being split",
            says="By process. As many at a time as it has slots.",
            queries={"{{instance}}": 'rowstream_splitter_leases{job="splitter"}'},
        ),
        Panel(
            title="Blocks of files by reader", unit="ops", stacked=True,
            says="fast: proved clean. mixed: something in it needs care, which costs time.",
            queries={"{{reader}}": _rates("rowstream_splitter_blocks_total", by="reader")},
        ),
        Panel(
            title="Upload events not yet taken",
            says="Events only wake splitters, so a lag here means that splitters are away.",
            queries={"lag": 'sum(rowstream_consumer_lag{topic="rowstream.uploads.v1"})'},
        ),
    ],
)  # fmt: skip

PROCESSOR = Row(
    "3  Record processor: chunks into rows and rejections",
    [
        Panel(
            title="Chunks that wait",
            says="Bounded by each upload's window; not to worry about while chunks are settled.",
            queries={
                "not yet taken": 'sum(rowstream_consumer_lag{topic="rowstream.chunks.v1"})',
                "sent and not yet in the ledger": "sum(rowstream_splitter_chunks_in_flight)",
            },
        ),
        Panel(
            title="Chunks by what became of them", unit="ops", stacked=True,
            says="work: loaded. done: was loaded before. gap and drop: come again. unprocessed: given up on.",
            queries={"{{outcome}}": _rates("rowstream_processor_chunks_total", by="outcome")},
        ),
        Panel(
            title="Where the processors' time goes", unit="percentunit", stacked=True,
            says="Seconds a second, of all processors together: as many as there are processors is all they have.",
            queries={"{{stage}}": _rates("rowstream_processor_stage_seconds_total", by="stage")},
        ),
        Panel(
            title="Chunks that could not be processed", unit="ops", empty="none",
            says="By reason, each try. A few after a fault are nothing; what goes on needs somebody.",
            queries={
                "{{reason}}": _rates("rowstream_processor_chunk_failures_total", by="reason"),
                "refused records of {{record_type}}": _rates(
                    "rowstream_processor_refused_records_total", by="record_type"
                ),
            },
        ),
        Panel(
            title="Batches with keys that were there", unit="ops",
            says="Loaded through a staging table, which takes longer: a file sent twice, or corrected.",
            queries={"batches": "sum(rate(rowstream_processor_collisions_total[$__rate_interval]))"},
        ),
        Panel(
            title="Announced and undone records", unit="ops", empty="none",
            says="Accepted records announced, where the record type asks for it, and rows taken out again.",
            queries={
                "announced {{record_type}}": _rates("rowstream_processor_announcements_total", by="record_type"),
                "undone {{record_type}}": _rates("rowstream_processor_undone_records_total", by="record_type"),
            },
        ),
    ],
)  # fmt: skip

AUDITOR = Row(
    "4  Auditor: totals, ends, repairs",
    [
        Panel(
            title="Records with an outcome", unit="ops", stacked=True,
            says="By record type.",
            queries={
                "{{record_type}}": _rates("batch_upload_records_processed_total", by="record_type")
            },
        ),
        Panel(
            title="Records rejected", unit="ops", stacked=True,
            says="By error code. More than usual: somebody's files have changed.",
            queries={"{{code}}": _rates("batch_upload_records_failed_total", by="code")},
        ),
        Panel(
            title="Uploads that ended", unit="ops", stacked=True,
            says="By status, with the code of those that failed. FMT codes are the file's own fault.",
            queries={
                "{{status}} {{code}}": _rates("rowstream_uploads_finished_total", by="status, code"),
            },
        ),
        Panel(
            title="From accepted to ended", unit="s",
            says="By the database's clock, over an hour: half of the uploads were faster, 95 of 100 were faster.",
            queries={
                "half": "histogram_quantile(0.5, sum by (le) "
                "(rate(batch_upload_processing_duration_seconds_bucket[1h])))",
                "95 of 100, {{record_type}}": "rowstream:upload_seconds:p95_1h",
            },
        ),
        Panel(
            title="Repairs", unit="short", stacked=True,
            says="What the reconciler mended in five minutes, by kind. Some after a crash; not without end.",
            queries={"{{kind}}": "sum by (kind) (increase(rowstream_reconciler_repairs_total[5m]))"},
        ),
        Panel(
            title="Results not yet folded",
            says="Where it grows, uploads end late; nothing is lost.",
            queries={"{{topic}}": 'sum by (topic) (rowstream_consumer_lag{job="auditor"})'},
        ),
    ],
)  # fmt: skip

PROCESSES = Row(
    "Processes",
    [
        Panel(
            title="Memory", unit="bytes", steps={"red": _MEMORY_BOUND},
            says="Of each process. None is to hold more than 450 MB, whatever the size of the files.",
            queries={"{{job}} {{instance}}": f"process_resident_memory_bytes{{{_SERVICES}}}"},
        ),
        Panel(
            title="CPU", unit="percentunit",
            says="Of each process; 100 % is one core.",
            queries={"{{job}} {{instance}}": f"rate(process_cpu_seconds_total{{{_SERVICES}}}[$__rate_interval])"},
        ),
        Panel(
            title="Disk in use", unit="percentunit", steps={"orange": 0.85, "red": 0.95},
            says="Of the disks of the working and of the temporary folder.",
            queries={
                "{{job}} {{folder}}": "max by (job, folder) (1 - rowstream_disk_free_bytes / rowstream_disk_size_bytes)"
            },
        ),
        Panel(
            title="What services wait for", steps={"red": 1},
            says="1 while a service cannot work for want of a part.",
            queries={"{{job}}: {{part}}": "max by (job, part) (rowstream_waiting)"},
        ),
        Panel(
            title="Running for", unit="s",
            says="Each fall is a start.",
            queries={"{{job}} {{instance}}": f"time() - process_start_time_seconds{{{_SERVICES}}}"},
        ),
        Panel(
            title="Open files", unit="short",
            says="Of each process. Rising without end: connections or files that are not closed.",
            queries={"{{job}} {{instance}}": f"process_open_fds{{{_SERVICES}}}"},
        ),
    ],
)  # fmt: skip

FLOW = Dashboard(
    uid="rowstream-flow",
    title="rowstream: flow",
    says="Records on their way through the four services, in the order of the way.",
    rows=(WELL, GATEWAY, SPLITTER, PROCESSOR, AUDITOR, PROCESSES),
)
