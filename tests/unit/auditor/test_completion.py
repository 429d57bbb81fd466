"""When an upload starts and ends, as a table of cases."""

from dataclasses import replace
from uuid import UUID

import pytest

from auditor.audit_log import Tally
from auditor.completion import Split, Step, all_counted, next_step
from auditor.totals import Totals
from auditor.uploads import Upload

PENDING = Upload(
    id=UUID(int=1),
    organization_id=UUID(int=2),
    status="pending",
    version=1,
    attempt=1,
    record_type="thing",
    correlation_id="c",
    traceparent="t",
    total_records=None,
    totals=Totals(),
    failure_code=None,
    failure_message=None,
)
PROCESSING = replace(PENDING, status="processing")
ALL_LOADED = replace(PROCESSING, totals=Totals(succeeded=9, failed=1))
CUTTING = Split(attempt=1)
SPLIT = Split(attempt=1, chunks=2, records=10)
FAILED = Split(attempt=1, failure_code="FMT_001", failure_message="the file is empty")
BOTH = Tally(2, 0)


@pytest.mark.parametrize(
    ("upload", "split", "tally", "status"),
    [
        pytest.param(PENDING, None, None, None, id="nobody has noted it"),
        pytest.param(PENDING, CUTTING, None, None, id="nothing of it has come"),
        pytest.param(replace(PENDING, totals=Totals(failed=1)), CUTTING, None, "processing", id="first result"),
        pytest.param(replace(PENDING, totals=Totals(unprocessed=1)), CUTTING, None, "processing", id="first is lost"),
        pytest.param(PENDING, SPLIT, None, "processing", id="split before any result"),
        pytest.param(PENDING, FAILED, None, "failed", id="failed before any result"),
        pytest.param(PROCESSING, FAILED, None, "failed", id="failed in the middle"),
        pytest.param(replace(PROCESSING, status="paused"), FAILED, None, "failed", id="failed while paused"),
        pytest.param(PROCESSING, CUTTING, None, None, id="more may come"),
        pytest.param(PROCESSING, SPLIT, None, None, id="results are missing"),
        pytest.param(ALL_LOADED, CUTTING, None, None, id="all so far, but the file goes on"),
        pytest.param(ALL_LOADED, SPLIT, BOTH, "completed", id="all"),
        pytest.param(ALL_LOADED, SPLIT, Tally(1, 0), None, id="a chunk is missing though the sum is right"),
        pytest.param(replace(ALL_LOADED, status="paused"), SPLIT, BOTH, "completed", id="all, as it was paused"),
        pytest.param(PROCESSING, Split(attempt=1, chunks=0, records=0), Tally(0, 0), "completed", id="header only"),
        pytest.param(replace(PROCESSING, totals=Totals(succeeded=9, held=1)), SPLIT, BOTH, "needs_review", id="held"),
        pytest.param(replace(PROCESSING, totals=Totals(unprocessed=10)), SPLIT, BOTH, "failed", id="unprocessed"),
        pytest.param(
            replace(PROCESSING, attempt=2, totals=Totals(unprocessed=10)),
            replace(SPLIT, attempt=2),
            Tally(2, 10),
            None,
            id="unprocessed by the attempt before, to be redone",
        ),
        pytest.param(replace(ALL_LOADED, attempt=2), SPLIT, BOTH, None, id="the split is of the attempt before"),
        pytest.param(replace(PENDING, attempt=2), FAILED, None, None, id="the failure is of the attempt before"),
        *(
            pytest.param(replace(ALL_LOADED, status=status), SPLIT, BOTH, None, id=f"{status} stays")
            for status in ("awaiting_upload", "needs_review", "completed", "failed", "cancelled")
        ),
    ],
)
def test_next_status(upload: Upload, split: Split | None, tally: Tally | None, status: str | None) -> None:
    step = next_step(upload, split, tally)
    assert (step and step.status) == status


def test_a_failure_of_the_splitter_is_passed_on_in_its_words() -> None:
    expected = Step(status="failed", event="upload_failed", failure_code="FMT_001", failure_message="the file is empty")
    assert next_step(PROCESSING, FAILED) == expected


def test_unprocessed_records_fail_the_upload_with_their_number() -> None:
    step = next_step(replace(PROCESSING, totals=Totals(succeeded=7, unprocessed=3)), SPLIT, BOTH)
    assert step
    assert step.failure_code == "UNK_001"
    assert step.failure_message
    assert step.failure_message.startswith("3 of 10 records could not be processed")


@pytest.mark.parametrize(
    ("counted", "split", "near"), [(10, SPLIT, True), (9, SPLIT, False), (10, CUTTING, False), (10, None, False)]
)
def test_the_tally_is_taken_only_when_the_sum_is_right(counted: int, split: Split | None, near: bool) -> None:  # noqa: FBT001 - a table of cases
    assert all_counted(replace(PROCESSING, totals=Totals(succeeded=counted)), split) is near
