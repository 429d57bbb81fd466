"""What an organization may hand in: how large a file, how many records a day, how many uploads at a time.

The use case asks here when an upload is reserved, and again in the transaction that accepts it: a lock of the
organization is held from the count to the commit, so that of many uploads that are accepted at one moment no more pass
than there is room for. An organization without quotas takes no lock. One that is over a quota is refused whichever way
the file came; the error says what to do.
"""

from uuid import UUID

from sqlalchemy import Connection, Row, func, select, text
from starlette import status

from rowstream.database.access_tables import organizations
from rowstream.database.tables import TERMINAL_STATUSES, UPLOAD_STATUSES, batch_uploads, upload_splits
from rowstream.errors import Poison
from rowstream.runtime.metrics import REFUSED

_OPEN = tuple(one for one in UPLOAD_STATUSES if one not in {*TERMINAL_STATUSES, "awaiting_upload"})
_Quotas = Row[int | None, int | None, int | None]
_DAY = text("interval '24 hours'")


class OverQuota(Poison):
    """The organization's quota does not allow this upload; the message says which, and the way out.

    Attributes:
        status: The HTTP status of the refusal.
        kind: Its name for programs.
        retry_after: Seconds after which it may pass; None if time alone does not help, or nobody knows how much.
        quota: The quota by the name of its column, with its value.
    """

    def __init__(
        self, code: int, kind: str, message: str, quota: tuple[str, int], retry_after: int | None = None
    ) -> None:
        super().__init__(message)
        self.status, self.kind, self.quota, self.retry_after = code, kind, quota, retry_after
        REFUSED.labels(kind).inc()


def foresee(connection: Connection, organization_id: UUID, size_bytes: int | None) -> None:
    """Refuse early what would be refused once its file is there; what passes is judged again then.

    Raises:
        OverQuota: says which.
    """
    quotas = _quotas(connection, organization_id)
    _check_size(quotas, size_bytes)
    _check_counts(connection, quotas, organization_id, more=1)


def hold(connection: Connection, organization_id: UUID, size_bytes: int | None) -> None:
    """Let an upload pass which this transaction has just accepted; it must be rolled back if this raises.

    Nobody else accepts an upload for an organization with quotas from now to the end of the transaction.

    Raises:
        OverQuota: says which.
    """
    quotas = _quotas(connection, organization_id)
    _check_size(quotas, size_bytes)
    if quotas.max_open_uploads is None and quotas.max_records_a_day is None:
        return
    name = f"rowstream quotas {organization_id}"
    connection.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(name, 0))))
    # A statement of its own, so that it sees what was committed while the lock was waited for.
    _check_counts(connection, quotas, organization_id, more=0)


def _quotas(connection: Connection, organization_id: UUID) -> _Quotas:
    columns = organizations.c
    query = select(columns.max_upload_bytes, columns.max_records_a_day, columns.max_open_uploads)
    return connection.execute(query.where(columns.id == organization_id)).one()


def _check_size(quotas: _Quotas, size_bytes: int | None) -> None:
    most = quotas.max_upload_bytes
    if most is not None and size_bytes is not None and size_bytes > most:
        raise OverQuota(
            status.HTTP_413_CONTENT_TOO_LARGE,
            "file_too_large",
            f"the file has {size_bytes} bytes, at most {most} are taken of your organization; split it into several"
            " files, or ask whoever runs rowstream for more",
            ("max_upload_bytes", most),
        )


def _check_counts(connection: Connection, quotas: _Quotas, organization_id: UUID, *, more: int) -> None:
    """Count what the organization has, and `more` that is not there yet."""
    if (most := quotas.max_open_uploads) is not None and _open_uploads(connection, organization_id) + more > most:
        raise OverQuota(
            status.HTTP_409_CONFLICT,
            "too_many_open_uploads",
            f"your organization may have {most} uploads at a time that have not ended, and has them; try again when"
            " one has ended, or cancel one",
            ("max_open_uploads", most),
        )
    if (most := quotas.max_records_a_day) is not None:
        records, seconds = _records_of_a_day(connection, organization_id)
        if records >= most:
            raise OverQuota(
                status.HTTP_429_TOO_MANY_REQUESTS,
                "records_quota_used_up",
                f"your organization may hand in {most} records in 24 hours and has handed in {records}; try again"
                f" in {seconds} seconds, when the first of them no longer count",
                ("max_records_a_day", most),
                retry_after=seconds,
            )


def _open_uploads(connection: Connection, organization_id: UUID) -> int:
    columns = batch_uploads.c
    query = select(func.count()).where(columns.organization_id == organization_id, columns.status.in_(_OPEN))
    return connection.execute(query).scalar_one()


def _records_of_a_day(connection: Connection, organization_id: UUID) -> tuple[int, int]:
    """Records read so far from the files accepted in the last 24 hours, and the seconds until the first leave them."""
    columns, now = batch_uploads.c, func.clock_timestamp()
    read = func.coalesce(columns.total_records, upload_splits.c.records_split, 0)
    left = func.extract("epoch", func.min(columns.accepted_at).filter(read > 0) + _DAY - now)
    query = (
        select(func.coalesce(func.sum(read), 0), func.ceil(left))
        .select_from(
            batch_uploads.outerjoin(
                upload_splits,
                (upload_splits.c.batch_upload_id == columns.id) & (upload_splits.c.attempt == columns.attempt),
            )
        )
        .where(columns.organization_id == organization_id, columns.accepted_at > now - _DAY)
    )
    records, seconds = connection.execute(query).one()
    return int(records), max(1, int(seconds or 1))
