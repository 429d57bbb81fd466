"""What the tests of the command share."""

import io
import os
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from typing import Any
from unittest import mock

import pytest

from rowstream.cli.main import main


def upload(**changes: Any) -> dict[str, Any]:
    """An upload as the API shows it: 20 records, 17 loaded, 3 rejected; with some members changed."""
    shown = {
        "id": "019c2f6e-5d1b-7cc3-98c4-dc0c0c07398f",
        "status": "completed",
        "source_type": "api",
        "created_by": "tests",
        "correlation_id": "c-1",
        "record_type": "things",
        "filename": "things.csv",
        "size_bytes": 1_500,
        "bytes_read": 1_500,
        "total_records": 20,
        "processed_records": 20,
        "succeeded_records": 17,
        "failed_records": 3,
        "held_records": 0,
        "unprocessed_records": 0,
        "records_split": 20,
        "errors_by_code": {"VAL_002": 1, "VAL_001": 2},
        "failure_code": None,
        "failure_message": None,
        "created_at": "2026-02-03T04:05:06Z",
        "accepted_at": "2026-02-03T04:05:07Z",
        "completed_at": "2026-02-03T04:05:09Z",
        "duration_ms": 2_000,
        "attempt": 1,
        "requested": "run",
        "undo": False,
        "undone_records": 0,
        "undone_at": None,
    }
    return {**shown, **changes}


def rejection(row: int, *codes: str) -> dict[str, Any]:
    """A rejected record as the API shows it."""
    errors = [{"field": "a", "code": code, "message": f"a is wrong by {code}", "value": "x"} for code in codes]
    return {
        "row_number": row,
        "error_code": codes[0],
        "error_message": errors[0]["message"],
        "errors": errors,
        "row_data": {"a": "x"},
        "raw_text": None,
    }


@dataclass(frozen=True)
class Result:
    """What a command printed (bytes that are no UTF-8 as surrogates), and its exit code."""

    code: int
    out: str
    err: str


def run(*arguments: str, **environment: str) -> Result:
    """Run the command as a user does whose output goes into a pipe; in this process, which is quicker."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ROWSTREAM_")}
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True) for _ in range(2))
    with (
        mock.patch.object(sys, "argv", ["rowstream", *arguments]),
        mock.patch.dict(os.environ, {**kept, **environment}, clear=True),
        redirect_stdout(out),
        redirect_stderr(err),
        pytest.raises(SystemExit) as left,
    ):
        main()
    code = left.value.code
    assert isinstance(code, int)
    return Result(code, *(stream.buffer.getvalue().decode("utf-8", "surrogateescape") for stream in (out, err)))
