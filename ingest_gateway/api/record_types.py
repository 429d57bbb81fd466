"""The installed kinds of record over HTTP."""

from fastapi import APIRouter

from ingest_gateway.access.caller import MayReadUploads
from ingest_gateway.api.models import RecordTypeInfo, RecordTypeList
from ingest_gateway.problems import responses
from rowstream.records import registry

router = APIRouter(prefix="/api/v1/record_types", tags=["record types"])


@router.get("", responses=responses(401, 403, 503), summary="List the installed record types")
def record_types(_: MayReadUploads) -> RecordTypeList:
    """What an upload may hold, by name."""
    infos = [
        RecordTypeInfo(
            name=record_type.name,
            title=record_type.title,
            version=record_type.version,
            columns=list(record_type.columns),
            required=list(record_type.required),
            key=list(record_type.key),
        )
        for record_type in registry.record_types().values()
    ]
    return RecordTypeList(items=infos)
