"""The steps at which a crash would hurt, by name; whoever wants to see (or cause) what happens there observes them.

A service calls `reached` right after each; nobody listens, unless a test has started it and said so. The fault suite
ends the process at a chosen step.
"""

from collections.abc import Callable
from enum import Enum


class Step(Enum):
    """After what a crash may happen."""

    ROWS_COPIED = "rows_copied"
    LEDGER_WRITTEN = "ledger_written"
    CHUNKS_COMMITTED = "chunks_committed"
    RESULTS_PRODUCED = "results_produced"
    RECORDS_ANNOUNCED = "records_announced"
    OFFSETS_COMMITTED = "offsets_committed"
    UPLOAD_ENQUEUED = "upload_enqueued"
    LEASE_TAKEN = "lease_taken"
    PLAN_PINNED = "plan_pinned"
    CHUNK_PRODUCED = "chunk_produced"
    FILE_SPLIT = "file_split"
    SFTP_FILE_CLAIMED = "sftp_file_claimed"
    SFTP_FILE_STORED = "sftp_file_stored"
    UPLOAD_ACCEPTED = "upload_accepted"
    SFTP_FILE_PUT_ASIDE = "sftp_file_put_aside"
    OUTBOX_PRODUCED = "outbox_produced"
    OUTBOX_MARKED = "outbox_marked"
    RESULTS_FOLDED = "results_folded"
    RESULTS_ACKNOWLEDGED = "results_acknowledged"


Observer = Callable[[Step], None]


def _nobody(_: Step) -> None:
    pass


_observer: Observer = _nobody


def observe(observer: Observer) -> None:
    """Have every step of this process reported to `observer` from now on, in the thread that takes it."""
    global _observer  # noqa: PLW0603 - one process, one observer; passing it through every layer would hide the work
    _observer = observer


def reached(step: Step) -> None:
    """Say that this step was taken just now."""
    _observer(step)
