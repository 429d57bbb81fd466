"""Compares what was rejected with what was planted. Pure."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

Planted = Mapping[int, tuple[str, ...]]
"""The codes of all errors of each record that must be rejected, in order, by row number."""


@dataclass(frozen=True)
class Rejected:
    """A rejected record as the API shows it: where it stood, its code, and the codes of all its errors."""

    row: int
    code: str
    codes: tuple[str, ...]


def rejected(lines: Iterable[bytes]) -> list[Rejected]:
    """The rejected records in a report of JSON lines."""
    records = map(json.loads, lines)
    return [
        Rejected(one["row_number"], one["error_code"], tuple(error["code"] for error in one["errors"]))
        for one in records
    ]


def differences(records: int, planted: Planted, upload: Mapping[str, Any], found: Iterable[Rejected]) -> list[str]:
    """What is not as it must be, a line each; empty if the outcome is exactly the one that was planned.

    Args:
        records: how many the file has.
        planted: those that must be rejected.
        upload: as the API shows it at its end.
        found: what the API says was rejected.
    """
    loaded = records - len(planted)
    wanted = {
        "status": "completed",
        "total_records": records,
        "succeeded_records": loaded,
        "failed_records": len(planted),
        "errors_by_code": dict(Counter(codes[0] for codes in planted.values())),
    }
    wrong = [f"{name} is {upload[name]!r}, not {value!r}" for name, value in wanted.items() if upload[name] != value]
    return wrong + _wrong_rows(planted, list(found))


def _wrong_rows(planted: Planted, found: list[Rejected]) -> list[str]:
    by_row = {one.row: one for one in found}
    wrong = [
        f"row {row}: planted with {' '.join(planted[row])}, but not rejected" for row in sorted(planted.keys() - by_row)
    ]
    for row, one in sorted(by_row.items()):
        said = " ".join(one.codes)
        if row not in planted:
            wrong.append(f"row {row}: rejected with {said}, but nothing was planted there")
        elif (one.code, one.codes) != (planted[row][0], planted[row]):
            wrong.append(f"row {row}: planted with {' '.join(planted[row])}, but rejected as {one.code} with {said}")
    twice = [row for row, times in Counter(one.row for one in found).items() if times > 1]
    return wrong + [f"row {row}: rejected more than once" for row in sorted(twice)]
