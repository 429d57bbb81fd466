"""Members who have been invited and those who have come; names of organizations, each once in whatever case.

Revision ID: 0006
Revises: 0005
"""

from alembic import op

revision = "0006"
down_revision = "0005"

STATEMENTS = """
ALTER TABLE memberships ADD COLUMN name TEXT;
COMMENT ON COLUMN memberships.name IS 'what the organization calls them; null: their own name, once they have come';
ALTER TABLE memberships ADD COLUMN accepted_at TIMESTAMP WITH TIME ZONE;
COMMENT ON COLUMN memberships.accepted_at IS 'when they first logged in to the organization; null: only invited';
UPDATE memberships SET accepted_at = created_at;
GRANT UPDATE (accepted_at) ON memberships TO rowstream_keys
"""

# A unique index would refuse a database that has two such names already, and the gateway sees no other organization.
ONE_NAME = """
CREATE FUNCTION refuse_a_name_that_is_taken() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('names of organizations'));
    IF EXISTS (SELECT FROM organizations WHERE lower(name) = lower(NEW.name) AND id <> NEW.id)
       AND (TG_OP = 'UPDATE' OR NOT EXISTS (SELECT FROM organizations WHERE id = NEW.id)) THEN
        RAISE EXCEPTION 'organizations_name_key: another organization has this name, in whatever case'
            USING ERRCODE = 'unique_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER one_name_in_whatever_case BEFORE INSERT OR UPDATE OF name ON organizations
FOR EACH ROW EXECUTE FUNCTION refuse_a_name_that_is_taken()
"""


def upgrade() -> None:
    for statement in STATEMENTS.split(";\n"):
        op.execute(statement)
    op.execute(ONE_NAME)
