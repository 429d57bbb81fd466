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


HALF = replace(PROCESSING, totals=Totals(succeeded=5))
PAUSED = replace(HALF, status="paused")


@pytest.mark.parametrize(
    ("upload", "split", "requested", "status"),
    [
        pytest.param(PENDING, None, "pause", "paused", id="pause before anybody noted it"),
        pytest.param(HALF, CUTTING, "pause", "paused", id="pause in the middle"),
        pytest.param(ALL_LOADED, SPLIT, "pause", "paused", id="pause when all is done: it rests until it is resumed"),
        pytest.param(PAUSED, CUTTING, "pause", None, id="it is paused"),
        pytest.param(PAUSED, FAILED, "pause", "failed", id="it fails while paused"),
        pytest.param(PAUSED, CUTTING, "run", "processing", id="resume in the middle"),
        pytest.param(replace(PENDING, status="paused"), None, "run", "pending", id="resume before anybody noted it"),
        pytest.param(replace(PENDING, status="paused"), CUTTING, "run", "pending", id="resume before the first result"),
        pytest.param(replace(PAUSED, attempt=2), FAILED, "run", "pending", id="resume a retried one, not noted yet"),
        pytest.param(PENDING, None, "cancel", "cancelled", id="cancel before anybody noted it"),
        pytest.param(HALF, CUTTING, "cancel", "cancelled", id="cancel in the middle"),
        pytest.param(PAUSED, CUTTING, "cancel", "cancelled", id="cancel while paused"),
        pytest.param(ALL_LOADED, SPLIT, "cancel", "cancelled", id="cancel goes before completion"),
        pytest.param(HALF, FAILED, "cancel", "cancelled", id="cancel goes before failure"),
        pytest.param(replace(HALF, status="needs_review"), SPLIT, "cancel", "cancelled", id="cancel what waits"),
        *(
            pytest.param(replace(HALF, status=status), SPLIT, requested, None, id=f"{status} stays, {requested} or not")
            for status in ("awaiting_upload", "completed", "failed", "cancelled")
            for requested in ("pause", "cancel")
        ),
    ],
)
def test_what_was_asked_for_comes_about(
    upload: Upload, split: Split | None, requested: str, status: str | None
) -> None:
    step = next_step(upload, split, BOTH, requested=requested)
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
