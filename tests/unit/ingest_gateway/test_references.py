from dataclasses import replace
from uuid import UUID

import pytest

from ingest_gateway.references import BadReference, NotThere, check_object, check_place, check_prefix, filename_of
from rowstream.messages.upload_request import UploadRequest
from rowstream.storage.store import ObjectInfo

REQUEST = UploadRequest(record_type="t", bucket="landing", key="in/2026/März.csv")
FOUND = ObjectInfo("abc", 10, "v2")


def test_an_allowed_place_is_taken() -> None:
    check_place(REQUEST, frozenset({"landing"}), "rowstream")
    check_place(replace(REQUEST, bucket="rowstream"), frozenset({"rowstream"}), "rowstream")
    check_place(replace(REQUEST, key="raw-uploads/x"), frozenset({"landing"}), "rowstream")


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        (replace(REQUEST, bucket="other"), "nothing is taken from bucket 'other'; ask the operators"),
        (replace(REQUEST, bucket="rowstream", key="raw-uploads/another-organization/x"), "belong to the uploads"),
        (replace(REQUEST, bucket="rowstream", key="errors/another-organization/x"), "belong to the uploads"),
        (replace(REQUEST, key="in/../x"), "between its slashes"),
        (replace(REQUEST, key="\ud800"), "half of a character"),
    ],
)
def test_other_places_are_refused(request_: UploadRequest, said: str) -> None:
    with pytest.raises(BadReference, match=said):
        check_place(request_, frozenset({"landing", "rowstream"}), "rowstream")


def test_who_is_refused_is_not_told_of_the_operators_settings() -> None:
    with pytest.raises(BadReference) as refusal:
        check_place(replace(REQUEST, bucket="other"), frozenset({"landing"}), "rowstream")
    assert "ROWSTREAM" not in str(refusal.value)


OURS, OTHERS = UUID(int=1), UUID(int=2)


@pytest.mark.parametrize(
    ("key", "prefix"),
    [
        ("anything", ""),
        (f"{OURS}/members.csv", "{organization}/"),
        (f"in/{OURS}/members.csv", "in/{organization}/"),
        ("in/members.csv", "in/"),
    ],
)
def test_a_key_under_ones_own_prefix_is_taken(key: str, prefix: str) -> None:
    check_prefix(replace(REQUEST, key=key), prefix, OURS)


@pytest.mark.parametrize(
    "key", ["members.csv", f"{OTHERS}/members.csv", f"../{OURS}/members.csv", f"{OURS}", f"/{OURS}/x"]
)
def test_a_key_under_anothers_prefix_is_not_there(key: str) -> None:
    with pytest.raises(NotThere, match="there is no s3://landing/"):
        check_prefix(replace(REQUEST, key=key), "{organization}/", OURS)


@pytest.mark.parametrize(
    "request_",
    [REQUEST, replace(REQUEST, etag="abc"), replace(REQUEST, etag='"abc"'), replace(REQUEST, version_id="v2")],
)
def test_the_object_that_was_asked_for_is_taken(request_: UploadRequest) -> None:
    check_object(request_, FOUND, 10)


def test_a_store_without_versions_goes_by_the_entity_tag() -> None:
    check_object(replace(REQUEST, version_id="v1"), ObjectInfo("abc", 10, None), 10)


@pytest.mark.parametrize(
    ("request_", "limit", "said"),
    [
        (replace(REQUEST, etag="old"), 10, "entity tag is abc"),
        (replace(REQUEST, version_id="v1"), 10, "newer version"),
        (REQUEST, 9, "10 bytes, at most 9"),
    ],
)
def test_another_object_is_refused(request_: UploadRequest, limit: int, said: str) -> None:
    with pytest.raises(BadReference, match=said):
        check_object(request_, FOUND, limit)


@pytest.mark.parametrize(
    ("request_", "name"),
    [
        (REQUEST, "März.csv"),
        (replace(REQUEST, filename="shown.csv"), "shown.csv"),
        (replace(REQUEST, filename=""), "März.csv"),
    ],
)
def test_the_name_is_the_given_one_or_the_keys_last_part(request_: UploadRequest, name: str) -> None:
    assert filename_of(request_) == name


def test_a_name_that_cannot_be_shown_is_refused() -> None:
    with pytest.raises(BadReference, match="filename"):
        filename_of(replace(REQUEST, key="folder/"))
