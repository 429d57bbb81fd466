"""Who may what, as tables: roles hold the lesser ones, scopes are the same words, nobody gives more than they have."""

import pytest

from ingest_gateway.access.permissions import Permission, Role, may_give, of_role, of_scopes
from rowstream.database.access_tables import ROLES, SCOPES

P = Permission
WHAT = {
    Role.VIEWER: {P.UPLOADS_READ, P.ORGANIZATION_READ},
    Role.REVIEWER: {P.ERRORS_READ, P.REVIEWS_DECIDE},
    Role.OPERATOR: {P.UPLOADS_WRITE, P.UPLOADS_CONTROL},
    Role.ADMIN: {P.ACTS_READ, P.MEMBERS_READ, P.MEMBERS_MANAGE, P.KEYS_READ, P.KEYS_MANAGE},
    Role.OWNER: {P.ORGANIZATION_MANAGE},
}


def test_each_role_may_what_the_lesser_ones_may_and_more() -> None:
    may: set[Permission] = set()
    for role in Role:
        may |= WHAT[role]
        assert of_role(role) == may
    assert of_role(Role.OWNER) == set(Permission)


def test_the_database_names_the_same_scopes_and_roles() -> None:
    assert tuple(permission.value for permission in Permission) == SCOPES
    assert set(ROLES) == {role.value for role in Role}


@pytest.mark.parametrize(
    ("scopes", "may"),
    [
        (None, of_role(Role.OPERATOR)),
        ([], set()),
        (["uploads:read"], {P.UPLOADS_READ}),
        (["uploads:read", "of a later version"], {P.UPLOADS_READ}),
        (["UPLOADS:READ", "uploads", "*", ""], set()),
        (list(SCOPES), set(Permission)),
    ],
)
def test_a_key_may_what_its_scopes_say(scopes: list[str] | None, may: set[Permission]) -> None:
    assert of_scopes(scopes) == may


@pytest.mark.parametrize("giver", Role)
@pytest.mark.parametrize("role", Role)
def test_nobody_gives_a_role_that_may_more_than_their_own(giver: Role, role: Role) -> None:
    order = list(Role)
    expected = giver in (Role.ADMIN, Role.OWNER) and order.index(role) <= order.index(giver)
    assert may_give(of_role(giver), role) is expected


def test_managing_members_alone_gives_no_role() -> None:
    assert not any(may_give({P.MEMBERS_MANAGE}, role) for role in Role)
    assert may_give({P.MEMBERS_MANAGE} | of_role(Role.VIEWER), Role.VIEWER)
    assert not may_give(of_role(Role.OWNER) - {P.MEMBERS_MANAGE}, Role.VIEWER)
