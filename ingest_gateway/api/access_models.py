"""The bodies of requests and answers about who may do what: keys, members, the organization, the trail of acts."""

import re
import unicodedata
from datetime import UTC, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field

from ingest_gateway.access.permissions import Permission, Role

LONGEST_NAME = 200
_LONGEST_EMAIL = 254  # RFC 5321 leaves no room for more
_MOST_OVERLAP_SECONDS = 30 * 86_400
_EMAIL = re.compile(
    r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~\-]+@[A-Za-z0-9](?:[A-Za-z0-9\-]{0,61}[A-Za-z0-9])?"
    r"(?:\.[A-Za-z0-9](?:[A-Za-z0-9\-]{0,61}[A-Za-z0-9])?)*"
)
"""What the HTML standard takes as an e-mail address."""


def clean_name(name: str) -> str:
    """A name for people to read, without white space around it.

    Raises:
        ValueError: nothing is left, or it holds characters that cannot be seen.
    """
    clean = name.strip()
    if not clean:
        raise ValueError("a name is needed")
    if any(unicodedata.category(char) in {"Cc", "Cf", "Cs", "Zl", "Zp"} for char in clean):
        raise ValueError("the name holds characters that cannot be seen; leave them out")
    return clean


def _email(text: str) -> str:
    if not _EMAIL.fullmatch(text):
        raise ValueError("it is no e-mail address")
    return text


def _no_id(name: str) -> str:
    try:
        UUID(name)
    except ValueError:
        return name
    raise ValueError("the name must not look like an id, since each organization is found by either")


def _to_come(moment: datetime) -> datetime:
    if moment <= datetime.now(UTC):
        raise ValueError("it lies in the past; leave it out for a key without an end")
    return moment


Name = Annotated[str, Field(max_length=LONGEST_NAME), AfterValidator(clean_name)]


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid")


class KeyRequest(_Request):
    """A key that is to be made."""

    name: Name = Field(description="Who will use it; uploads show it as their creator")
    scopes: list[Permission] | None = Field(
        None, min_length=1, max_length=100, description="What it may do; null: what an operator may"
    )
    expires_at: Annotated[AwareDatetime, AfterValidator(_to_come)] | None = Field(
        None, description="Its end; null: that of the key which makes it, else it goes on until it is revoked"
    )
    signed_only: bool = Field(
        default=False, strict=True, description="Whether it is never sent: requests are signed with it (RFC 9421)"
    )


class RotateRequest(_Request):
    """How a key is to be rotated."""

    overlap_seconds: int = Field(
        86_400, strict=True, ge=0, le=_MOST_OVERLAP_SECONDS, description="Seconds for which the old key goes on"
    )


class Key(BaseModel):
    """What is known of a key, which is not the key itself."""

    id: UUID
    name: str
    state: Literal["valid", "expired", "revoked"]
    scopes: list[Permission] = Field(description="What it may do")
    signed_only: bool = Field(description="Whether it is never sent: requests are signed with it")
    created_at: datetime
    created_by: str | None = Field(description="Who made it")
    expires_at: datetime | None = Field(description="Its end; null: it goes on until it is revoked")
    revoked_at: datetime | None
    replaced_by: UUID | None = Field(description="The key that it was rotated to")
    last_used_at: datetime | None = Field(description="To the minute; null if it never was")
    last_used_from: str | None = Field(description="The address that it was last used from")


class NewKey(Key):
    """A key that was just made, with the key itself."""

    key: str = Field(description="The key, or the secret to sign with; shown this once and stored nowhere")


class KeyList(BaseModel):
    """One page of keys, the newest first."""

    items: list[Key]
    next_cursor: str | None = Field(description="Asks for the next page; null on the last one")


class Organization(BaseModel):
    """The organization that the caller acts for."""

    id: UUID
    name: str
    created_at: datetime
    duplicate_policy: Literal["refuse", "warn", "allow"] = Field(
        description="What becomes of a file whose bytes came before as the same record type"
    )
    max_upload_bytes: int | None = Field(description="Quota: bytes of one file; null: the system's own limit holds")
    max_records_a_day: int | None = Field(description="Quota: records accepted in any 24 hours; null: none")
    max_open_uploads: int | None = Field(description="Quota: uploads accepted and not ended; null: none")
    requests_per_minute: int | None = Field(
        description="Quota: of all its keys and people together; null: the system's own limit holds"
    )


class OrganizationChange(_Request):
    """What is to be changed; what is left out stays. Quotas are for those who run the system."""

    name: Annotated[Name, AfterValidator(_no_id)] | None = Field(
        None, description="A new name, which no other organization has"
    )
    duplicate_policy: Literal["refuse", "warn", "allow"] | None = Field(
        None, description="What becomes of a file whose bytes came before as the same record type"
    )


class Invitation(_Request):
    """Somebody who is to be a member."""

    email: Annotated[str, AfterValidator(_email)] = Field(
        max_length=_LONGEST_EMAIL, description="Their e-mail address", json_schema_extra={"format": "email"}
    )
    name: Name | None = Field(None, description="What you call them; null: their own name, once they have come")
    role: Role = Field(description="What they are to be")


class RoleChange(_Request):
    """What a member is to be from now on."""

    role: Role = Field(description="Their new role")


class Member(BaseModel):
    """A person in the organization."""

    user_id: UUID
    email: str
    name: str = Field(description="What you call them, else their own name; until they have come, the e-mail address")
    role: Role
    created_by: str = Field(description="Who made them a member")
    created_at: datetime = Field(description="When they became one")
    accepted_at: datetime | None = Field(description="When they first logged in to your organization; null: not yet")
    disabled_at: datetime | None = Field(
        description="From when on they cannot log in at all; told of those who have come"
    )


class MemberList(BaseModel):
    """One page of members, the newest first."""

    items: list[Member]
    next_cursor: str | None = Field(description="Asks for the next page; null on the last one")


class Act(BaseModel):
    """Something that was done, by whom and how; it is never changed."""

    id: int = Field(description="Rises with time")
    action: str = Field(description="What was done, such as upload.cancel or key.made")
    upload_id: UUID | None = Field(description="To which upload, if to one")
    target: str | None = Field(description="To what else: the id of a key or a user")
    actor_kind: Literal["key", "user", "system"]
    actor_id: UUID | None = Field(description="The key's or the user's id")
    actor_name: str
    way: str = Field(description="How they came: ui, api, ftp, s3_event, kafka, command")
    address: str | None = Field(description="From where")
    correlation_id: str = Field(description="Finds the request in the logs")
    details: dict[str, Any] = Field(description="What else there is to say")
    created_at: datetime


class ActList(BaseModel):
    """One page of acts, the newest first."""

    items: list[Act]
    next_cursor: str | None = Field(description="Asks for the next page; null on the last one")
