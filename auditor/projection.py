"""Folds the results of chunks into the totals of their uploads; what it writes can be rebuilt from the ledger.

A result may come twice, late, in any order, from a topic or from the ledger itself. It counts once: only what this
transaction's INSERT into the audit log really added changes the totals, and the upload's row is locked meanwhile.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from sqlalchemy import Connection

from auditor import attempts, audit_log, completion, uploads
from auditor.code_labels import CodeLabels
from auditor.completion import Ended
from auditor.totals import Outcome, Totals, difference
from auditor.uploads import Upload
from rowstream.messages.chunk_result import ChunkResult
from rowstream.runtime.metrics import PROCESSING_DURATION, RECORDS_FAILED, RECORDS_PROCESSED, UPLOADS_FINISHED

_CODE_LABELS = CodeLabels()


@dataclass(frozen=True)
class Folded:
    """What a transaction changed, to be counted in the metrics once it is committed.

    Attributes:
        added: Record type and what was added to the totals of one of its uploads.
        ended: The uploads that reached an end.
        strangers: The (upload, organization) pairs that were named and do not exist.
    """

    added: list[tuple[str, Totals]] = field(default_factory=list)
    ended: list[Ended] = field(default_factory=list)
    strangers: set[tuple[UUID, UUID]] = field(default_factory=set)


def fold(connection: Connection, results: Iterable[ChunkResult], woken: Collection[tuple[UUID, UUID]] = ()) -> Folded:
    """Add results to the totals, and see which uploads are complete; all in the caller's transaction.

    `woken` are further (upload, organization) pairs to look at: their plan or failure became known.
    """
    uploads.limit_waiting(connection)
    folded = Folded()
    by_upload: defaultdict[tuple[UUID, UUID], list[ChunkResult]] = defaultdict(list)
    for result in results:
        by_upload[result.upload_id, result.organization_id].append(result)
    for owned in sorted({*by_upload, *woken}):
        upload = attempts.lock(connection, owned[0])
        if upload is None or upload.organization_id != owned[1]:
            folded.strangers.add(owned)
            continue
        upload, change = add(connection, upload, by_upload[owned])
        folded.added.append((upload.record_type, change))
        folded.ended.extend(completion.advance(connection, upload))
    return folded


def add(connection: Connection, upload: Upload, results: Sequence[ChunkResult]) -> tuple[Upload, Totals]:
    """Add results to a locked upload's log and totals; returns it as it is now, and what was added."""
    if not results:
        return upload, Totals()
    added = audit_log.add_outcomes(connection, upload, results)
    fresh = {key: result for result in results if (key := (result.chunk_number, result.attempt)) in added}
    if not fresh:
        return upload, Totals()
    known = audit_log.outcomes(connection, upload.id, {chunk for chunk, _ in added})
    before = [outcome for outcome in known if (outcome.chunk_number, outcome.attempt) not in added]
    change = difference(before, [outcome_of(result) for result in fresh.values()])
    _note_exceptions(connection, upload, fresh.values(), {outcome.chunk_number for outcome in before})
    return uploads.add_totals(connection, upload, change), change


def outcome_of(result: ChunkResult) -> Outcome:
    """What a result says, as it counts."""
    totals = Totals(
        succeeded=result.succeeded_records,
        failed=result.failed_records,
        held=result.held_records,
        unprocessed=result.unprocessed_records,
        errors_by_code=result.errors_by_code,
    )
    return Outcome(chunk_number=result.chunk_number, attempt=result.attempt, totals=totals)


def count(folded: Folded) -> None:
    """Count what was folded in the metrics; call it after COMMIT, so that nothing is counted twice."""
    for record_type, totals in folded.added:
        RECORDS_PROCESSED.labels(record_type).inc(max(totals.processed, 0))
        for code, records in totals.errors_by_code.items():
            RECORDS_FAILED.labels(record_type, _CODE_LABELS.of(code)).inc(max(records, 0))
    for ended in folded.ended:
        UPLOADS_FINISHED.labels(ended.status, ended.failure_code or "").inc()
        PROCESSING_DURATION.labels(ended.record_type, ended.status).observe(ended.seconds)


def _note_exceptions(
    connection: Connection, upload: Upload, results: Iterable[ChunkResult], seen_before: set[int]
) -> None:
    for result in results:
        if result.chunk_number in seen_before:
            audit_log.note(connection, upload, "chunk_retried", chunk_number=result.chunk_number)
        if result.outcome == "unprocessed":
            audit_log.note(connection, upload, "chunk_unprocessed", chunk_number=result.chunk_number)
