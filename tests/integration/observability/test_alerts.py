"""Each alert fires when somebody is needed, is quiet while a fault heals by itself, and clears; by promtool."""

import json
import re
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from deploy.prometheus.scrape import HERE, RULES
from docs.generate.pages import ROOT
from tests.servers.tools import program

PAGES = ROOT / "docs" / "how-to" / "alerts"
ALERTS = re.findall(r"- alert: (\w+)", (HERE / "alerts.yml").read_text(encoding="utf-8"))
SERVICES = ("ingest_gateway", "splitter", "record_processor", "auditor")
WELL = {f'up{{job="{service}", instance="1"}}': [1] * 600 for service in SERVICES}
LOADED = 'rowstream_processor_chunks_total{job="record_processor", instance="1", outcome="work"}'
LAG = 'rowstream_consumer_lag{job="record_processor", instance="1", topic="rowstream.chunks.v1"}'
COMPLETED = 'rowstream_uploads_finished_total{status="completed", code=""}'


def failed(code: str) -> str:
    return f'rowstream_uploads_finished_total{{status="failed", code="{code}"}}'


def flat(value: float, minutes: int) -> list[float]:
    return [value] * minutes


def rising(steps: Iterable[float]) -> list[float]:
    """A counter that rises so much in each minute."""
    total, values = 0.0, []
    for step in steps:
        total += step
        values.append(total)
    return values


@dataclass(frozen=True)
class Case:
    """Series, a value a minute, and the minutes at which exactly these alerts fire, and at which none does.

    `beside` may fire or not.
    """

    name: str
    series: Mapping[str, Sequence[float]]
    alerts: tuple[str, ...] = ()
    fires: tuple[int, ...] = ()
    quiet: tuple[int, ...] = ()
    beside: str = "nothing"


CASES = (
    Case(
        "an upload is stuck until somebody moves it",
        {"rowstream_stuck_uploads": flat(0, 5) + flat(1, 15) + flat(0, 10)},
        ("UploadStuck",),
        fires=(9, 19),
        quiet=(4, 7, 21),
    ),
    Case(
        "an upload that stood still for two minutes",
        {"rowstream_stuck_uploads": flat(0, 5) + flat(1, 2) + flat(0, 20)},
        quiet=tuple(range(27)),
    ),
    Case(
        "a third of the uploads fails, for half an hour",
        {COMPLETED: rising(flat(2, 250)), failed("UNK_001"): rising(flat(0, 120) + flat(1, 30) + flat(0, 100))},
        ("UploadBudgetBurnsFast",),
        fires=(146, 149),
        quiet=(119, 125),
        beside="UploadBudgetBurnsSlowly",
    ),
    Case(
        "and is good again",
        {COMPLETED: rising(flat(20, 590)), failed("UNK_001"): rising(flat(0, 120) + flat(9, 30) + flat(0, 440))},
        ("UploadBudgetBurnsFast",),
        fires=(149,),
        quiet=(185, 400),
        beside="UploadBudgetBurnsSlowly",
    ),
    Case(
        "four in a hundred uploads fail for hours",
        {COMPLETED: rising(flat(25, 300)), failed("S3_001"): rising(flat(1, 60) + flat(0, 240))},
        ("UploadBudgetBurnsSlowly",),
        fires=(40, 59),
        quiet=(5, 130),
    ),
    Case(
        "files are wrong, replaced or never sent: nobody here can mend that",
        {COMPLETED: rising(flat(1, 200))}
        | {failed(code): rising(flat(1, 200)) for code in ("FMT_001", "FMT_003", "S3_003", "S3_004")},
        quiet=(30, 100, 199),
    ),
    Case(
        "the only two uploads of a night fail",
        {COMPLETED: flat(0, 200), failed("UNK_001"): rising([*flat(0, 60), 1, *flat(0, 20), 1, *flat(0, 110)])},
        quiet=(61, 70, 90, 190),
    ),
    Case(
        "chunks are given up on, then redriven",
        {"rowstream_unprocessed_chunks": flat(0, 5) + flat(3, 10) + flat(0, 5)},
        ("ChunksUnprocessed",),
        fires=(8, 14),
        quiet=(4, 6, 16),
    ),
    Case(
        "the outbox is not published",
        {"rowstream_outbox_oldest_seconds": [*flat(0, 5), *range(0, 600, 60), *flat(0, 5)]},
        ("OutboxOld",),
        fires=(10, 14),
        quiet=(4, 8, 16),
    ),
    Case(
        "the outbox waits a minute for a broker that comes back",
        {"rowstream_outbox_oldest_seconds": [*flat(0, 5), 30, 90, 0, *flat(0, 10)]},
        quiet=tuple(range(18)),
    ),
    Case(
        "chunks wait and none is loaded",
        {LAG: flat(0, 5) + flat(40, 15) + flat(0, 10), LOADED: rising(flat(5, 5) + flat(0, 15) + flat(5, 10))},
        ("NothingIsLoaded",),
        fires=(14, 19),
        quiet=(4, 9, 22),
    ),
    Case(
        "chunks wait for a processor that has never loaded one",
        {LAG: flat(0, 5) + flat(40, 15)},
        ("NothingIsLoaded",),
        fires=(10, 14),
        quiet=(4, 8),
    ),
    Case("many chunks wait and are loaded", {LAG: flat(190, 60), LOADED: rising(flat(1, 60))}, quiet=(10, 30, 59)),
    Case(
        "chunks of a paused upload are let fall and sent again",
        {LAG: flat(0, 30), LOADED.replace("work", "drop"): rising(flat(1, 30))},
        quiet=(10, 29),
    ),
    Case(
        "a message nobody can read",
        {'rowstream_dead_letters_total{topic="rowstream.chunks.v1"}': flat(0, 10) + flat(1, 90)},
        ("DeadLettersGrow",),
        fires=(12, 60),
        quiet=(9, 75),
    ),
    Case(
        "the reconciler mends for an hour",
        {
            'rowstream_reconciler_repairs_total{kind="chunk_results"}': rising(
                [*flat(0, 5), *([1, *flat(0, 4)] * 12), *flat(0, 30)]
            )
        },
        ("ReconcilerRepairs",),
        fires=(40, 64),
        quiet=(4, 30, 80),
    ),
    Case(
        "the reconciler mends what one fault left behind",
        {'rowstream_reconciler_repairs_total{kind="status"}': flat(0, 5) + flat(40, 60)},
        quiet=tuple(range(0, 60, 5)),
    ),
    Case(
        "no splitter answers",
        {'up{job="splitter", instance="1"}': flat(1, 5) + flat(0, 10) + flat(1, 5)},
        ("ServiceGone",),
        fires=(8, 14),
        quiet=(4, 6, 16),
    ),
    Case(
        "no splitter is found at all",
        {'up{job="splitter", instance="1"}': flat(1, 5)},
        ("ServiceGone",),
        fires=(13, 40),
        quiet=(4,),
    ),
    Case(
        "one of two processors is down",
        {'up{job="record_processor", instance="2"}': flat(1, 5) + flat(0, 20) + flat(1, 5)},
        ("ProcessDown",),
        fires=(16, 24),
        quiet=(4, 14, 26),
    ),
    Case(
        "a processor is killed and started again",
        {
            'up{job="record_processor", instance="1"}': [1, 1, 1, 0, 1, 1, 1, *flat(1, 30)],
            'process_start_time_seconds{job="record_processor", instance="1"}': flat(100, 3) + flat(280, 34),
        },
        quiet=tuple(range(30)),
    ),
    Case(
        "a processor ends again and again",
        {
            'process_start_time_seconds{job="record_processor", instance="1"}': [
                *flat(100, 5),
                *range(300, 960, 60),
                *flat(900, 60),
            ]
        },
        ("ProcessRestarts",),
        fires=(12, 20),
        quiet=(4, 7, 60),
    ),
    Case(
        "the database is away",
        {'rowstream_waiting{job="splitter", part="database"}': flat(0, 5) + flat(1, 10) + flat(0, 5)},
        ("PartAway",),
        fires=(9, 14),
        quiet=(4, 7, 16),
    ),
    Case(
        "a rebalance, and a broker that is started again",
        {'rowstream_waiting{job="auditor", part="broker"}': [*flat(0, 5), 1, 0, *flat(0, 5), 1, 1, *flat(0, 10)]},
        quiet=tuple(range(24)),
    ),
    Case(
        "the API fails",
        {
            'rowstream_http_requests_total{status="202"}': rising(flat(90, 40)),
            'rowstream_http_requests_total{status="503"}': rising(flat(0, 5) + flat(10, 15) + flat(0, 20)),
        },
        ("ApiFails",),
        fires=(16, 19),
        quiet=(4, 9, 30),
    ),
    Case(
        "the API fails while a database is started again, and few ask",
        {
            'rowstream_http_requests_total{status="202"}': rising(flat(1, 40)),
            'rowstream_http_requests_total{status="503"}': rising([*flat(0, 10), 1, 1, *flat(0, 20)]),
        },
        quiet=tuple(range(30)),
    ),
    Case(
        "senders ask for what is not there",
        {
            'rowstream_http_requests_total{status="200"}': rising(flat(1, 40)),
            'rowstream_http_requests_total{status="404"}': rising(flat(9, 40)),
        },
        quiet=(20, 39),
    ),
    Case(
        "a partner's server has another key for half an hour",
        {
            'rowstream_sftp_away{job="ingest_gateway", source="acme", reason="host_key"}': flat(0, 5)
            + flat(1, 30)
            + flat(0, 10)
        },
        ("PartnerUnreachable",),
        fires=(21, 34),
        quiet=(4, 15, 36),
    ),
    Case(
        "a partner's server is away for some minutes, again and again",
        {
            'rowstream_sftp_away{job="ingest_gateway", source="acme", reason="unreachable"}': [
                *flat(0, 5),
                *([*flat(1, 10), 0] * 4),
            ]
        },
        quiet=tuple(range(0, 48, 4)),
    ),
    Case(
        "the disk fills",
        {
            'rowstream_disk_free_bytes{job="splitter", folder="working"}': flat(50, 5) + flat(10, 30) + flat(50, 5),
            'rowstream_disk_size_bytes{job="splitter", folder="working"}': flat(100, 40),
        },
        ("DiskFills",),
        fires=(22, 34),
        quiet=(4, 18, 36),
    ),
    Case(
        "the disk is almost full",
        {
            'rowstream_disk_free_bytes{job="splitter", folder="working"}': flat(50, 5) + flat(4, 10) + flat(50, 5),
            'rowstream_disk_size_bytes{job="splitter", folder="working"}': flat(100, 20),
        },
        ("DiskAlmostFull",),
        fires=(8, 14),
        quiet=(4, 6, 16),
    ),
    Case(
        "a splitter holds too much memory",
        {
            'process_resident_memory_bytes{job="splitter", instance="1"}': [
                *flat(3e8, 5),
                *flat(4.4e8, 15),
                *flat(3e8, 5),
            ]
        },
        ("MemoryNearItsBound",),
        fires=(16, 19),
        quiet=(4, 14, 21),
    ),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_alerts(case: Case, tmp_path: Path) -> None:
    expected = {**dict.fromkeys(case.fires, case.alerts), **dict.fromkeys(case.quiet, ())}
    assert promtool(tmp_path, case, expected) == ""


def test_a_case_can_fail(tmp_path: Path) -> None:
    stuck = CASES[0]
    assert "UploadStuck" in promtool(tmp_path, stuck, {9: ()})
    assert "UploadStuck" in promtool(tmp_path, stuck, {4: ("UploadStuck",)})


def test_every_alert_has_a_case() -> None:
    assert {alert for case in CASES for alert in case.alerts} == set(ALERTS)


def promtool(folder: Path, case: Case, expected: dict[int, tuple[str, ...]]) -> str:
    """What promtool finds wrong, nothing if all is as expected: which alerts fire at which minutes."""
    series = {**WELL, **case.series}
    asked = [
        {
            "expr": f'count by (alertname) (ALERTS{{alertstate="firing", alertname!="{case.beside}"}})',
            "eval_time": f"{minute}m",
            "exp_samples": [{"labels": f'{{alertname="{alert}"}}', "value": 1} for alert in alerts],
        }
        for minute, alerts in expected.items()
    ]
    test = {
        "interval": "1m",
        "input_series": [{"series": name, "values": " ".join(map(str, values))} for name, values in series.items()],
        "promql_expr_test": asked,
    }
    file = folder / "test.yml"
    rules = [str(HERE / name) for name in RULES]
    file.write_text(json.dumps({"rule_files": rules, "evaluation_interval": "1m", "tests": [test]}))
    done = run("test", "rules", str(file))
    return "" if done.returncode == 0 else done.stdout + done.stderr


def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
    promtool = program("promtool", "testing rules (apt-get install prometheus)")
    return subprocess.run([promtool, *arguments], check=False, capture_output=True, text=True, timeout=60)


def test_rules_and_configurations_are_valid() -> None:
    checked = run("check", "config", str(HERE / "prometheus.yml"))
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_every_alert_leads_to_a_page_that_says_what_to_do() -> None:
    text = (HERE / "alerts.yml").read_text(encoding="utf-8")
    alerts = re.split(r"- alert: ", text)[1:]
    linked = set()
    for alert in alerts:
        (page,) = re.findall(r'runbook_url: "\{\{ \$externalURL \}\}/user/([a-z-]+\.md)"', alert)
        assert re.search(r"severity: (page|ticket)\b", alert)
        assert "summary: " in alert
        assert "description: " in alert
        linked.add(page)
        said = (PAGES / page).read_text(encoding="utf-8")
        assert alert.partition("\n")[0] in said
        assert re.findall(r"^## (.*)", said, flags=re.MULTILINE) == ["What it means", "What to look at", "What to do"]
    assert linked == {page.name for page in PAGES.glob("*.md")} - {"README.md"}
    overview = (PAGES / "README.md").read_text(encoding="utf-8")
    assert all(page in overview for page in linked)


def test_no_label_is_unbounded() -> None:
    """Rules keep only labels of services, record types, codes and the like."""
    text = "".join((HERE / name).read_text(encoding="utf-8") for name in RULES)
    assert set(re.findall(r"\bby \(([^)]*)\)", text)) <= {
        "record_type", "record_type, code", "job, topic", "le, record_type", "topic", "kind", "job", "job, part",
        "job, folder", "source, reason",
    }  # fmt: skip
