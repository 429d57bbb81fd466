"""What may be done, and who may do it: people by their role, keys by their scopes. Pure tables.

A key's scopes and a route's need are written in the same words, the permissions; a role is a set of them.
"""

from collections.abc import Collection, Iterable, Mapping
from enum import StrEnum
from types import MappingProxyType


class Permission(StrEnum):
    """One thing that may be allowed; as a scope of keys and in the API's description it is written like this."""

    UPLOADS_READ = "uploads:read"
    UPLOADS_WRITE = "uploads:write"
    UPLOADS_CONTROL = "uploads:control"
    ERRORS_READ = "errors:read"
    REVIEWS_DECIDE = "reviews:decide"
    ACTS_READ = "acts:read"
    MEMBERS_READ = "members:read"
    MEMBERS_MANAGE = "members:manage"
    KEYS_READ = "keys:read"
    KEYS_MANAGE = "keys:manage"
    ORGANIZATION_READ = "organization:read"
    ORGANIZATION_MANAGE = "organization:manage"


class Role(StrEnum):
    """What a person is in an organization; from the least to the most."""

    VIEWER = "viewer"
    REVIEWER = "reviewer"
    OPERATOR = "operator"
    ADMIN = "admin"
    OWNER = "owner"


_P = Permission
_MORE: Mapping[Role, frozenset[Permission]] = MappingProxyType(
    {
        Role.VIEWER: frozenset({_P.UPLOADS_READ, _P.ORGANIZATION_READ}),
        Role.REVIEWER: frozenset({_P.ERRORS_READ, _P.REVIEWS_DECIDE}),
        Role.OPERATOR: frozenset({_P.UPLOADS_WRITE, _P.UPLOADS_CONTROL}),
        Role.ADMIN: frozenset({_P.ACTS_READ, _P.MEMBERS_READ, _P.MEMBERS_MANAGE, _P.KEYS_READ, _P.KEYS_MANAGE}),
        Role.OWNER: frozenset({_P.ORGANIZATION_MANAGE}),
    }
)


def of_role(role: Role) -> frozenset[Permission]:
    """All that a role may: each may what the ones before it may, and something more."""
    roles = list(Role)
    return frozenset().union(*(_MORE[lower] for lower in roles[: roles.index(role) + 1]))


def of_scopes(scopes: Iterable[str] | None) -> frozenset[Permission]:
    """All that a key with these scopes may; one without any given may what an operator may.

    A scope that this version does not know allows nothing.
    """
    if scopes is None:
        return of_role(Role.OPERATOR)
    known = {permission.value for permission in Permission}
    return frozenset(Permission(scope) for scope in scopes if scope in known)


def may_give(own: Collection[Permission], role: Role) -> bool:
    """Whether someone who may all of `own` may give, change or take `role`: nobody makes anyone more than they are."""
    return Permission.MEMBERS_MANAGE in own and of_role(role) <= set(own)
