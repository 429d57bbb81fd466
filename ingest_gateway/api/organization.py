"""The caller's own organization over HTTP: see it, change what it chooses itself."""

from dataclasses import asdict

from fastapi import APIRouter
from starlette import status

from ingest_gateway import acts
from ingest_gateway.access.caller import MayManageOrganization, MayReadOrganization
from ingest_gateway.api.access_models import Organization, OrganizationChange
from ingest_gateway.api.idempotency import Once, OnceRoute
from ingest_gateway.gateway import TheGateway
from ingest_gateway.problems import Problem, responses
from rowstream.database import organizations

router = APIRouter(prefix="/api/v1/organization", tags=["organization"], route_class=OnceRoute)


@router.get("", responses=responses(401, 403, 503), summary="See your organization")
def organization(caller: MayReadOrganization, gateway: TheGateway) -> Organization:
    """Its name, what it has chosen, and its quotas, which only those who run the system change."""
    with gateway.acting_for(caller.organization_id) as connection:
        found = organizations.find(connection, caller.organization_id)
    return _shown(found)


@router.patch("", responses=responses(400, 401, 403, 409, 413, 422, 503), summary="Change your organization")
def change_organization(
    wanted: OrganizationChange, caller: MayManageOrganization, _: Once, gateway: TheGateway
) -> Organization:
    """Change its name, or what becomes of files that came before; what is left out stays."""
    values = wanted.model_dump(exclude_none=True)
    try:
        with gateway.acting_for(caller.organization_id) as connection:
            before = asdict(_existing(organizations.find(connection, caller.organization_id)))
            changed = {name: value for name, value in values.items() if before[name] != value}
            after = organizations.change(connection, caller.organization_id, changed)
            if changed:
                told = {name: {"from": before[name], "to": value} for name, value in changed.items()}
                acts.note(connection, caller, "organization.changed", target=str(caller.organization_id), details=told)
    except organizations.NameTaken as error:
        raise Problem(status.HTTP_409_CONFLICT, "name_taken", str(error)) from error
    return _shown(after)


def _existing(found: organizations.Organization | None) -> organizations.Organization:
    if found is None:
        raise LookupError("the caller's organization is not there")
    return found


def _shown(found: organizations.Organization | None) -> Organization:
    return Organization.model_validate(asdict(_existing(found)))
