"""Compares the ledger with what was folded, and mends: lost results, lost events, uploads closed in a hurry.

Every few seconds one auditor at a time (an advisory lock) looks at the open uploads and at those that ended lately. It
mends through the functions that fold messages, so a repair that crosses with the message itself does no harm.
"""

import threading
import time
from collections.abc import Callable
from functools import partial
from itertools import groupby
from uuid import UUID

from sqlalchemy import Connection, Engine, text

from auditor import closing, findings, ledger, measures, projection, repairs, wishes
from auditor.patience import DATABASE_AWAY
from auditor.projection import Folded
from auditor.settings import AuditorSlice
from auditor.stuck import Watch
from rowstream.database.connection import first_line
from rowstream.runtime.health import Health
from rowstream.runtime.logging import get_logger
from rowstream.runtime.metrics import REPAIRS, STUCK_UPLOADS

log = get_logger(__name__)

_ONE_AT_A_TIME = 0x726F7772
_RESULTS_A_ROUND = 5_000
_RECENT_SECONDS = 120.0
_FIRST_RECENT_SECONDS = 24 * 3_600.0  # the first round looks further back: who knows how long nobody looked
_TRY_LOCK = text("SELECT pg_try_advisory_xact_lock(:key)")
# The transaction that holds the lock is idle while others mend; an auditor that is stopped meanwhile lets go after it.
_GUARD_MAY_REST = text("SET LOCAL idle_in_transaction_session_timeout = '2min'")


class Reconciler:
    """Mends what was lost; `round` does it once, `run` until asked to stop."""

    def __init__(
        self, engine: Engine, settings: AuditorSlice, health: Health, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._engine, self._settings, self._health, self._clock = engine, settings, health, clock
        self._watch = Watch(settings.stuck_seconds)
        self._reported: set[UUID] = set()
        self._not_closed: set[UUID] = set()  # also those whose lanes are held for longer than is looked back
        self._recent_seconds = _FIRST_RECENT_SECONDS

    def run(self, stop: threading.Event) -> None:
        """Do a round every few seconds until `stop` is set."""
        while not stop.wait(self._settings.reconcile_seconds):
            try:
                self.round()
                self.measure()
            except DATABASE_AWAY as error:
                self._health.waiting("database", first_line(error))
            except Exception:  # the next round tries again, and results are folded meanwhile
                log.exception("a round of the reconciler failed")
            else:
                self._health.ok("database")

    def round(self) -> bool:
        """Look and mend once; False if another auditor is at it.

        Raises:
            sqlalchemy.exc.OperationalError, sqlalchemy.exc.TimeoutError: the database is away.
        """
        with self._engine.begin() as guard:
            if not guard.execute(_TRY_LOCK, {"key": _ONE_AT_A_TIME}).scalar_one():
                return False
            guard.execute(_GUARD_MAY_REST)
            self._mend()
        self._recent_seconds = max(_RECENT_SECONDS, 20 * self._settings.reconcile_seconds)
        return True

    def measure(self) -> None:
        """Set the gauges of how things stand, and tell of uploads that are stuck.

        Raises:
            sqlalchemy.exc.OperationalError, sqlalchemy.exc.TimeoutError: the database is away.
        """
        with self._engine.connect() as connection:
            measures.measure(connection, remind_seconds=self._settings.remind_seconds)
        self._look_for_stuck()

    def _mend(self) -> None:
        grace = self._settings.grace_seconds
        with self._engine.connect() as connection:
            upload_ids = findings.open_and_recent(connection, seconds=self._recent_seconds)
            lost = ledger.not_folded(connection, upload_ids, grace_seconds=grace, at_most=_RESULTS_A_ROUND)
            drifted = findings.drifted(connection, upload_ids)
            due = findings.due(connection, grace_seconds=grace)
            asked = wishes.not_followed(connection, seconds=grace)
            self._not_closed.update(findings.not_closed(connection, seconds=self._recent_seconds))
            unclaimed = findings.unclaimed(connection, seconds=self._settings.unclaimed_seconds)
        for upload_id, results in groupby(lost, lambda result: result.upload_id):
            self._try("chunk_results", upload_id, partial(repairs.fold_again, results=list(results)))
        for upload_id in drifted:
            self._try("totals", upload_id, partial(repairs.rebuild, upload_id=upload_id))
        for upload_id, owner in due:
            self._try("status", upload_id, partial(repairs.change_status, upload_id=upload_id, organization_id=owner))
        for upload_id, owner in asked:
            follow = partial(repairs.change_status, upload_id=upload_id, organization_id=owner, kind="control")
            self._try("control", upload_id, follow)
        for upload_id in sorted(self._not_closed):
            if self._try("closing", upload_id, partial(closing.close, upload_id=upload_id)):
                self._not_closed.discard(upload_id)
        for upload_id, times, seconds in unclaimed:
            if repairs.is_due_again(times, seconds, self._settings.unclaimed_seconds):
                self._try("upload_accepted", upload_id, partial(repairs.announce_again, upload_id=upload_id))

    def _try(self, kind: str, upload_id: UUID, repair: Callable[[Connection], Folded | None]) -> bool:
        """Whether it was done, or need not be done any more."""
        try:
            with self._engine.begin() as connection:
                folded = repair(connection)
        except DATABASE_AWAY as error:
            log.warning("not mended for now", kind=kind, upload_id=str(upload_id), reason=first_line(error))
        except Exception:  # one upload that cannot be mended must not keep the others from it
            log.exception("not mended", kind=kind, upload_id=str(upload_id))
        else:
            if folded is not None:
                projection.count(folded)
                REPAIRS.labels(kind).inc()
                log.info("mended", kind=kind, upload_id=str(upload_id))
            return True
        return False

    def _look_for_stuck(self) -> None:
        with self._engine.connect() as connection:
            sightings = findings.sightings(connection)
        stuck = self._watch.observe(sightings, self._clock())
        STUCK_UPLOADS.set(len(stuck))
        for one in stuck:
            if one.upload_id not in self._reported:
                log.warning("upload is stuck", upload_id=str(one.upload_id), seconds=round(one.seconds), why=one.why)
        self._reported = {one.upload_id for one in stuck}
