"""Row-level security and grants, said once for every tenant table.

Row-level security is enabled without FORCE, since Postgres refuses COPY to a role that it binds: the processor owns
the tables that it copies into. The gateway owns nothing and sees only the organization that its transaction names
(`act_for`); the other services work for all organizations and are trusted with the id in each row.
"""

from collections.abc import Iterable, Mapping

ROLES = (
    "rowstream_gateway",
    "rowstream_keys",
    "rowstream_relay",
    "rowstream_splitter",
    "rowstream_processor",
    "rowstream_auditor",
)
DASHBOARDS = "rowstream_dashboards"
OWN = "organization_id = nullif(current_setting('rowstream.organization_id', true), '')::uuid"


def make_roles(roles: Iterable[str] = ROLES) -> list[str]:
    """Statements that make the roles that are missing and let the migrating login act as each."""
    statements = []
    for role in roles:
        statements += [
            f"DO $$ BEGIN CREATE ROLE {role} NOLOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$",
            f"GRANT {role} TO CURRENT_USER",
            f"GRANT USAGE ON SCHEMA public TO {role}",
        ]
    return statements


def protect(table: str, grants: Mapping[str, str], *, owner: str | None = None) -> list[str]:
    """Statements that give a tenant table its policies and grants (role -> privileges), and its owner.

    The gateway's policy shows one organization; every other role that has a grant sees all.
    """
    statements = [f'ALTER TABLE "{table}" ENABLE ROW LEVEL SECURITY']
    for role, privileges in grants.items():
        rule = OWN if role == "rowstream_gateway" else "true"
        statements += [
            f'CREATE POLICY {role} ON "{table}" TO {role} USING ({rule}) WITH CHECK ({rule})',
            f'GRANT {privileges} ON "{table}" TO {role}',
        ]
    return statements + own(table, owner) if owner else statements


def own(table: str, owner: str) -> list[str]:
    """Statements that make this role the owner of a table, which asks for a right that it is not to keep."""
    return [
        f"GRANT CREATE ON SCHEMA public TO {owner}",
        f'ALTER TABLE "{table}" OWNER TO {owner}',
        f"REVOKE CREATE ON SCHEMA public FROM {owner}",
    ]
