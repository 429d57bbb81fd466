"""The gauges of disks are asked at each look, and one that cannot be measured costs no other metric."""

import math
from functools import partial
from pathlib import Path

import pytest
from prometheus_client import REGISTRY, generate_latest

from rowstream.runtime import metrics


def room(name: str, folder: str) -> float:
    value = REGISTRY.get_sample_value(f"rowstream_disk_{name}_bytes", {"folder": folder})
    assert value is not None
    return value


@pytest.mark.parametrize("folder", ["working", "temporary"])
def test_a_disk_has_room_within_its_size(folder: str) -> None:
    assert 0 < room("free", folder) <= room("size", folder)


def test_a_folder_that_is_gone_costs_no_other_metric(tmp_path: Path) -> None:
    gauge = metrics.DISK_FREE.labels("gone")
    gauge.set_function(partial(metrics._room, str(tmp_path / "gone"), "free"))
    assert math.isnan(room("free", "gone"))
    assert b"rowstream_stuck_uploads" in generate_latest()
    metrics.DISK_FREE.remove("gone")
