"""Kafka and Postgres as the services use them."""

from deploy.grafana.panels import POSTGRES, Dashboard, Panel, Row

KAFKA = Row(
    "Kafka",
    [
        Panel(
            title="Messages sent", unit="ops", stacked=True,
            says="Acknowledged by the broker, by topic.",
            queries={"{{topic}}": "sum by (topic) (rate(rowstream_messages_produced_total[$__rate_interval]))"},
        ),
        Panel(
            title="Messages taken", unit="ops", stacked=True,
            says="By topic and by whom.",
            queries={
                "{{topic}} by {{job}}": "sum by (topic, job) "
                "(rate(rowstream_messages_consumed_total[$__rate_interval]))"
            },
        ),
        Panel(
            title="Messages not yet taken",
            says="The lag, by topic and by who takes them.",
            queries={"{{topic}} by {{job}}": "rowstream:consumer_lag:sum"},
        ),
        Panel(
            title="Messages that the broker did not take", unit="ops", empty="none",
            says="By topic. Each is sent again; while it goes on, the broker is away or refuses.",
            queries={"{{topic}}": "sum by (topic) (rate(rowstream_produce_failures_total[$__rate_interval]))"},
        ),
        Panel(
            title="Messages put aside", unit="short", stacked=True,
            says="In an hour, by the topic on which they came: nobody could read them.",
            queries={"{{topic}}": "sum by (topic) (increase(rowstream_dead_letters_total[1h]))"},
        ),
        Panel(
            title="Published from the outbox", unit="ops", stacked=True,
            says="By topic. What services say of uploads goes this way.",
            queries={"{{topic}}": "sum by (topic) (rate(rowstream_outbox_published_total[$__rate_interval]))"},
        ),
    ],
)  # fmt: skip

SIZES = """
SELECT relname AS "table", pg_total_relation_size(relid) AS size
FROM pg_stat_user_tables ORDER BY size DESC LIMIT 25
"""
ROWS = """
SELECT relname AS "table", n_live_tup AS "rows", n_dead_tup AS "dead rows",
       n_tup_ins AS "inserted", n_tup_upd AS "updated", n_tup_del AS "deleted",
       greatest(last_vacuum, last_autovacuum) AS "vacuumed", greatest(last_analyze, last_autoanalyze) AS "analyzed"
FROM pg_stat_user_tables ORDER BY n_live_tup DESC
"""
INDEXES = """
SELECT relname AS "table", indexrelname AS "index", idx_scan AS "used", pg_relation_size(indexrelid) AS size
FROM pg_stat_user_indexes ORDER BY size DESC LIMIT 40
"""
SERVER = """
SELECT sum(numbackends) AS "connections", current_setting('max_connections')::int AS "of at most",
       sum(xact_rollback) AS "rolled back", sum(deadlocks) AS "deadlocks", sum(temp_bytes) AS "temporary bytes"
FROM pg_stat_database
"""

DATABASE = Row(
    "Postgres",
    [
        Panel(
            title="Size of the database", kind="stat", unit="bytes", width=6, source=POSTGRES,
            says="All tables and indexes.",
            queries={"": "SELECT pg_database_size(current_database()) AS size"},
        ),
        Panel(
            title="Found in memory", kind="stat", unit="percentunit", width=6, source=POSTGRES,
            says="Share of the pages that needed no look at the disk, since the statistics began.",
            queries={
                "": "SELECT blks_hit::float / nullif(blks_hit + blks_read, 0) AS share FROM pg_stat_database "
                "WHERE datname = current_database()"
            },
        ),
        Panel(
            title="Server", kind="table", width=12, source=POSTGRES,
            says="Connections, and what ought to stay small. A process keeps up to ROWSTREAM_DATABASE__POOL_SIZE.",
            queries={"": SERVER},
        ),
        Panel(
            title="Size of the tables", kind="bargauge", unit="bytes", height=10, source=POSTGRES,
            says="With their indexes. Record types' tables and batch_upload_errors grow with what is kept.",
            queries={"": SIZES},
        ),
        Panel(
            title="Rows", kind="table", width=16, height=10, source=POSTGRES,
            says="As the statistics have them. The outbox is to stay small; many dead rows: vacuum does not keep up.",
            queries={"": ROWS},
        ),
        Panel(
            title="Indexes", kind="table", width=24, height=8, source=POSTGRES,
            says="How often each was used, and what it takes.",
            queries={"": INDEXES},
        ),
    ],
)  # fmt: skip

SERVERS = Dashboard(
    uid="rowstream-servers",
    title="rowstream: Kafka and Postgres",
    says="The broker and the database as the services use them.",
    rows=(KAFKA, DATABASE),
)
