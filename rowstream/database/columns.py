"""What the declarations of tables are written with: the one catalogue, and columns that many tables have."""

from sqlalchemy import BigInteger, CheckConstraint, Column, ForeignKey, MetaData, Uuid, text
from sqlalchemy.dialects.postgresql import TIMESTAMP

metadata = MetaData()


def one_of(column: str, values: tuple[str, ...]) -> CheckConstraint:
    """A check that a column holds one of these words."""
    listed = ", ".join(f"'{value}'" for value in values)
    return CheckConstraint(f"{column} IN ({listed})", name=f"{column}_is_known")


def moment(name: str, *, now: bool = False, comment: str | None = None) -> Column[object]:
    """A time of the database; with `now`, that of the insert."""
    default = text("clock_timestamp()") if now else None
    return Column(name, TIMESTAMP(timezone=True), nullable=not now, server_default=default, comment=comment)


def count(name: str) -> Column[int]:
    """A number that begins at 0."""
    return Column(name, BigInteger, nullable=False, server_default=text("0"))


def organization() -> Column[object]:
    """Whose row it is."""
    return Column("organization_id", Uuid, ForeignKey("organizations.id"), nullable=False)


def copied_into() -> list[Column[object]]:
    """For a table that rows are copied into: no foreign keys, since a check a row would cost more than the COPY."""
    return [Column("organization_id", Uuid, nullable=False), Column("batch_upload_id", Uuid, primary_key=True)]


def upload(*, key: bool = False) -> Column[object]:
    """Of which upload."""
    return Column("batch_upload_id", Uuid, ForeignKey("batch_uploads.id"), nullable=False, primary_key=key)
