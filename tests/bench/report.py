"""The tables of the benchmark: what was measured on each broker beside what is to hold. Pure."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from rich.table import Table

from tests.whole_system import WORKERS

HOLD: Mapping[str, float] = {
    "ratio": 1.7,
    "peak_mb": 450.0,
    "small_p95": 1.5,
    "beside_p95": 10.0,
    "ready": 10.0,
    "accept_ratio": 10.0,
}

Figures = Mapping[str, Any]
"""What was measured on one broker."""

Row = tuple[str, Callable[[Figures], str], str, str]
"""A line of the table: its name, its cell for one broker's figures, what is to hold and what is aimed at."""


def faults(figures: Figures) -> list[str]:
    """What does not hold on one broker."""
    measured = {
        "ratio": figures["main"]["ratio"],
        "peak_mb": worst_worker(figures),
        "small_p95": figures["small"]["p95"],
        "beside_p95": figures.get("beside", {}).get("p95", 0.0),
        "ready": figures["ready"],
        "accept_ratio": figures.get("arriving", {}).get("ratio", 0.0),
    }
    return [
        f"{name} is {measured[name]:.2f}, to hold is {most:.2f}" for name, most in HOLD.items() if measured[name] > most
    ]


def worst_worker(figures: Figures) -> float:
    """The most memory that any of our own processes held at any time, in megabytes."""
    peaks: list[tuple[str, float]] = [*figures["memory"].items(), *figures.get("memory_large", {}).items()]
    return max(peak for name, peak in peaks if name.startswith(WORKERS))


def tables(measured: Mapping[str, Figures]) -> Iterator[Table]:
    """All tables, of the figures by broker."""
    yield _summary(measured)
    for broker, figures in measured.items():
        yield _processes(broker, figures)
    yield _stages(measured)


def _summary(measured: Mapping[str, Figures]) -> Table:
    table = Table(title="rowstream on two cores", title_justify="left")
    table.add_column("what")
    for column in (*measured, "hold", "aim"):
        table.add_column(column, justify="right")
    for name, cell, hold, aim in _rows(next(iter(measured.values()))):
        table.add_row(name, *(cell(figures) for figures in measured.values()), hold, aim)
    return table


def _rows(like: Figures) -> Iterator[Row]:
    rows = f"{like['main']['rows']:,} records"
    yield (
        f"{rows}, against \\copy (median of {like['main']['runs']})",
        lambda of: f"{of['main']['ratio']:.2f}x",
        "1.70x",
        "1.00x",
    )
    yield "  accepted to completed", lambda of: f"{of['main']['seconds']:.2f} s", "", ""
    yield "  \\copy of the clean lines", lambda of: f"{of['main']['copy_seconds']:.2f} s", "", ""
    yield "  records a second", lambda of: f"{of['main']['records_a_second']:,.0f}", "", ""
    yield f"10 records, p50 of {like['small']['count']}", lambda of: f"{of['small']['p50']:.3f} s", "", ""
    yield f"10 records, p95 of {like['small']['count']}", lambda of: f"{of['small']['p95']:.3f} s", "1.5 s", "0.5 s"
    if "beside" in like:
        what = f"10 records beside {like['beside']['rows']:,}"
        yield f"{what}, p50", lambda of: f"{of['beside']['p50']:.3f} s", "", ""
        yield f"{what}, p95 of {like['beside']['count']}", lambda of: f"{of['beside']['p95']:.3f} s", "10 s", "2 s"
    if "arriving" in like:
        yield (
            f"{like['arriving']['count']:,} uploads at {like['arriving']['a_second']:g} a second",
            lambda _: "",
            "",
            "",
        )
        yield "  presigned, p95", lambda of: _milliseconds(of["arriving"]["presign_p95"]), "", ""
        yield "  confirmed, p95", lambda of: _milliseconds(of["arriving"]["confirm_p95"]), "", ""
        yield (
            "  a bare INSERT and commit beside it, p95",
            lambda of: _milliseconds(of["arriving"]["insert_p95"]),
            "",
            "",
        )
        yield "  the slower one against it", lambda of: f"{of['arriving']['ratio']:.1f}x", "10x", ""
        yield "  against one on the idle system", lambda of: f"{of['arriving']['ratio_alone']:.1f}x", "", ""
    yield "`rowstream up`, second start to ready", lambda of: f"{of['ready']:.1f} s", "10 s", "5 s"
    yield "peak memory of any worker", lambda of: f"{worst_worker(of):.0f} MB", "450 MB", "300 MB"
    if "large" in like:
        yield f"{like['large']['rows']:,} records", lambda of: f"{of['large']['seconds']:.1f} s", "", ""
        yield "  records a second", lambda of: f"{of['large']['records_a_second']:,.0f}", "", ""


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1_000:.1f} ms"


def _processes(broker: str, figures: Figures) -> Table:
    rows = f"{figures['main']['rows']:,} records"
    table = Table(title=f"each process, {broker}", title_justify="left")
    for column in ("process", f"CPU s for {rows}", f"peak MB, {rows}", "peak MB, large file"):
        table.add_column(column, justify="left" if column == "process" else "right")
    large_peaks = figures.get("memory_large", {})
    for name, peak in sorted(figures["memory"].items()):
        cpu = figures["main"]["cpu_seconds"].get(name, 0.0)
        large_peak = large_peaks.get(name)
        table.add_row(name, f"{cpu:.2f}", f"{peak:.0f}", "" if large_peak is None else f"{large_peak:.0f}")
    return table


def _stages(measured: Mapping[str, Figures]) -> Table:
    table = Table(title="wall seconds of the processors' stages, all together", title_justify="left")
    table.add_column("stage")
    for broker in measured:
        table.add_column(broker, justify="right")
    for stage in next(iter(measured.values()))["main"]["processor_stage_seconds"]:
        seconds = (figures["main"]["processor_stage_seconds"].get(stage, 0.0) for figures in measured.values())
        table.add_row(stage, *(f"{one:.2f}" for one in seconds))
    return table
