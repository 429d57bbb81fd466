"""Record types that stand still: a word of the processors to all splitters.

Revision ID: 0007
Revises: 0006
"""

from alembic import op

revision = "0007"
down_revision = "0006"

STATEMENTS = """
CREATE TABLE standstills (
    record_type TEXT NOT NULL,
    until TIMESTAMP WITH TIME ZONE NOT NULL,
    PRIMARY KEY (record_type)
);
COMMENT ON COLUMN standstills.until IS 'it ends by itself, unless a processor meets it again';
GRANT SELECT ON standstills TO rowstream_splitter;
GRANT SELECT, INSERT, UPDATE, DELETE ON standstills TO rowstream_processor
"""


def upgrade() -> None:
    for statement in STATEMENTS.split(";\n"):
        op.execute(statement)
