"""What many measurements of one thing come down to."""

import statistics
from collections.abc import Sequence


def spread(seconds: Sequence[float]) -> dict[str, float]:
    """The median, the 95th percentile and the largest."""
    return {"p50": statistics.median(seconds), "p95": p95(seconds), "max": max(seconds)}


def p95(seconds: Sequence[float]) -> float:
    """The 95th percentile: of twenty, the largest."""
    ordered = sorted(seconds)
    return ordered[int(len(ordered) * 0.95)]
