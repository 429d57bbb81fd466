"""Hurried rules are the project's own: every time in them is shorter by the factor, and nothing else is another."""

import re
import subprocess
from pathlib import Path

import pytest

from deploy.prometheus.scrape import HERE, RULES
from tests.fault.hurry import FACTOR, hurried, write_rules
from tests.servers.tools import program

_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3_600, "d": 86_400}


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("        for: 3m", "        for: 18000ms"),
        ("for: 1m\n", "for: 6000ms\n"),
        ("rate(a_total[5m])", "rate(a_total[30000ms])"),
        ("sum(a offset 2m)", "sum(a offset 12000ms)"),
        ("max(b_seconds) > 60", "max(b_seconds) > 6"),
        ("b_seconds >= 5", "b_seconds >= 0.5"),
        ("changes(process_start_time_seconds[30m]) > 4", "changes(process_start_time_seconds[180000ms]) > 4"),
        ("rowstream:uploads_failed:ratio_rate1h > 14.4 * 0.01", "rowstream:uploads_failed:ratio_rate1h > 14.4 * 0.01"),
        ("resident_memory_bytes > 0.9 * 450e6", "resident_memory_bytes > 0.9 * 450e6"),
        ("increase(x[10m]) > 2.5", "increase(x[60000ms]) > 2.5"),
        ('summary: "{{ $value }} for an hour"', 'summary: "{{ $value }} for an hour"'),
    ],
)
def test_times_are_shorter_and_all_else_stays(rule: str, expected: str) -> None:
    assert hurried(rule, 10) == expected


@pytest.mark.parametrize("name", RULES)
def test_the_projects_rules_differ_in_their_times_only(name: str) -> None:
    rules = (HERE / name).read_text(encoding="utf-8")
    shorter = hurried(rules, FACTOR)
    assert _times(shorter) == pytest.approx([time / FACTOR for time in _times(rules)])
    assert len(_times(rules)) >= 15
    assert _without_numbers(shorter) == _without_numbers(rules)


def _times(rules: str) -> list[float]:
    """Every word that reads as a time, wherever it stands, in seconds."""
    return [int(amount) * _SECONDS[unit] for amount, unit in re.findall(r"\b(\d+)(ms|[smhd])\b", rules)]


def _without_numbers(rules: str) -> str:
    return re.sub(r"\b[\d.]+(ms|[smhd])?\b", "N", rules)


def test_prometheus_takes_them(tmp_path: Path) -> None:
    promtool = program("promtool", "testing rules (apt-get install prometheus)")
    files = [str(file) for file in write_rules(tmp_path).iterdir()]
    assert len(files) == len(RULES)
    done = subprocess.run([promtool, "check", "rules", *files], check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
