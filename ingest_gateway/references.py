"""What may be handed in by naming an object that is stored already, whichever way the name comes. Pure, but for `find`.

Only buckets that a setting names, never an address; never the place of somebody else's uploads; and only the object
that was meant: the one with the entity tag and of the version that the request says.
"""

from uuid import UUID

from ingest_gateway.accept import RAW_UPLOADS
from ingest_gateway.filenames import clean_filename
from ingest_gateway.object_keys import check_key
from rowstream.errors import Poison
from rowstream.messages.upload_request import UploadRequest
from rowstream.storage.s3 import S3Store
from rowstream.storage.store import ObjectInfo, ObjectMissing

OWN_PLACES = (RAW_UPLOADS, "processed/", "errors/")
"""Where rowstream keeps what is its uploads' own, in its own bucket."""


class BadReference(Poison):
    """The object may not be taken in; says why, and the way out."""


class NotThere(BadReference):
    """There is no such object, as far as whoever asks may know."""


def check_place(request: UploadRequest, allowed: frozenset[str], own_bucket: str) -> None:
    """Refuse buckets that nobody allowed, impossible keys, and what is the uploads' own.

    Raises:
        BadReference: says which it is, and the way out; the settings are the operators' business, not the asker's.
    """
    if request.bucket not in allowed:
        raise BadReference(
            f"nothing is taken from bucket {request.bucket!r}; ask the operators of rowstream which may be named"
        )
    try:
        check_key(request.key)
    except ValueError as error:
        raise BadReference(str(error)) from error
    if request.bucket == own_bucket and request.key.startswith(OWN_PLACES):
        place = next(place for place in OWN_PLACES if request.key.startswith(place))
        raise BadReference(f"objects under {place} belong to the uploads that they were sent for")


def check_prefix(request: UploadRequest, prefix: str, organization_id: UUID) -> None:
    """Refuse keys that do not begin with the organization's own prefix, as if there were no such object.

    Args:
        request: what was asked for.
        prefix: of every organization, with `{organization}` where its id stands; nothing for a bucket of all.
        organization_id: who asks.

    Raises:
        NotThere: it is another's, which is nobody's business.
    """
    if not request.key.startswith(prefix.replace("{organization}", str(organization_id))):
        raise not_there(request)


def check_object(request: UploadRequest, found: ObjectInfo, max_bytes: int) -> None:
    """Refuse an object that is not the one asked for, or too large.

    Raises:
        BadReference: says what was found and what was asked for.
    """
    if request.etag and request.etag.strip('"') != found.etag:
        raise BadReference(f"the object's entity tag is {found.etag}, the request says {request.etag[:100]}")
    if request.version_id and found.version_id and request.version_id != found.version_id:
        raise BadReference("the object has a newer version than the request says; ask for that one")
    if found.size > max_bytes:
        raise BadReference(f"the object has {found.size} bytes, at most {max_bytes} are taken; split it")


def find(store: S3Store, request: UploadRequest, *, max_bytes: int) -> ObjectInfo:
    """The object that is meant, as the store has it.

    Raises:
        NotThere: there is none.
        BadReference: it is another, or too large.
        RequestRefused: the store takes no such key.
        StoreUnavailable: the store does not answer.
    """
    try:
        found = store.look(request.bucket, request.key)
    except ObjectMissing as error:
        raise not_there(request) from error
    check_object(request, found, max_bytes)
    return found


def filename_of(request: UploadRequest) -> str:
    """The name to show: the given one, or the last part of the key.

    Raises:
        BadReference: neither is fit to be shown.
    """
    try:
        return clean_filename(request.filename or request.key)
    except ValueError as error:
        raise BadReference(f"the filename: {error}") from error


def not_there(request: UploadRequest) -> NotThere:
    """There is no such object; said of one that is missing and of another organization's alike."""
    return NotThere(f"there is no s3://{request.bucket}/{request.key}; store the object first, then ask for it")
