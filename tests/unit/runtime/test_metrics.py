"""The one list of metrics: named as Prometheus asks, with labels that stay few."""

import re

import pytest
from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.metrics import MetricWrapperBase

from rowstream.runtime import metrics

LIST = {name: metric for name, metric in vars(metrics).items() if isinstance(metric, MetricWrapperBase)}
BOUNDED = {
    "record_type", "code", "status", "source_type", "method", "route", "topic", "reader", "reason", "outcome", "stage",
    "kind",
}  # fmt: skip
PROMISED = {
    "batch_upload_records_processed_total": Counter,
    "batch_upload_records_failed_total": Counter,
    "batch_upload_processing_duration_seconds": Histogram,
    "batch_upload_chunk_size": Gauge,
    "rowstream_consumer_lag": Gauge,
    "rowstream_outbox_oldest_seconds": Gauge,
}


def full_name(metric: MetricWrapperBase) -> str:
    (family,) = metric.describe()
    return family.name + ("_total" if isinstance(metric, Counter) else "")


def test_there_are_metrics() -> None:
    assert len(LIST) > 20


@pytest.mark.parametrize(("name", "kind"), PROMISED.items())
def test_what_was_promised_is_there(name: str, kind: type[MetricWrapperBase]) -> None:
    (found,) = [metric for metric in LIST.values() if full_name(metric) == name]
    assert isinstance(found, kind)


@pytest.mark.parametrize("metric", LIST.values(), ids=LIST)
def test_a_metric_is_named_described_and_labelled_by_the_rules(metric: MetricWrapperBase) -> None:
    (family,) = metric.describe()
    name = full_name(metric)
    assert re.fullmatch(r"(rowstream|batch_upload)_[a-z][a-z_]*[a-z]", name)
    assert family.documentation.endswith(".")
    assert not isinstance(metric, Gauge) or not name.endswith("_total")
    assert not isinstance(metric, Histogram) or name.endswith("_seconds")
    assert not re.search(r"_(ms|millis|minutes|kb|mb)(_|$)", name)  # base units only
    assert set(metric._labelnames) <= BOUNDED
