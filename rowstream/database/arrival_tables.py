"""The tables of files on their way in: parts that are being sent, objects and remote files that were taken."""

from sqlalchemy import BigInteger, Column, ForeignKey, Index, Table, Text, Uuid, text
from sqlalchemy.dialects.postgresql import TIMESTAMP

from rowstream.database.columns import metadata, moment, one_of, organization, upload

SFTP_STATES = ("seen", "taking", "taken", "left")

multipart_uploads = Table(
    "multipart_uploads",
    metadata,
    organization(),
    upload(key=True),
    Column("s3_upload_id", Text, nullable=False),
    Column("part_bytes", BigInteger, nullable=False, comment="of each part but the last"),
    moment("created_at", now=True),
    moment("completed_at"),
    moment("aborted_at"),
    Index(
        "multipart_uploads_open",
        "created_at",
        postgresql_where=text("completed_at IS NULL AND aborted_at IS NULL"),
    ),
)

s3_objects_taken = Table(
    "s3_objects_taken",
    metadata,
    Column("organization_id", Uuid, ForeignKey("organizations.id"), primary_key=True),
    Column("bucket", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("sequencer", Text, comment="of the newest event that was heeded; compares as text of equal length"),
    Column("version_id", Text),
    Column("etag", Text),
    Column("batch_upload_id", Uuid),
    moment("taken_at", now=True),
)

sftp_files = Table(
    "sftp_files",
    metadata,
    Column("organization_id", Uuid, ForeignKey("organizations.id"), primary_key=True),
    Column("source", Text, primary_key=True, comment="the name of the server in the sources file"),
    Column("path", Text, primary_key=True),
    Column("size_bytes", BigInteger, primary_key=True, autoincrement=False),
    Column("modified_at", TIMESTAMP(timezone=True), primary_key=True),
    Column("state", Text, one_of("state", SFTP_STATES), nullable=False),
    Column("s3_key", Text, comment="where it is being stored, or was; a new one each time that it is taken on"),
    Column("batch_upload_id", Uuid),
    Column("reason", Text, comment="why it was left where it is"),
    moment("seen_at", now=True),
    moment("changed_at", now=True),
)
