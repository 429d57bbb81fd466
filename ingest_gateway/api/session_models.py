"""The bodies of requests and answers about logging in."""

from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from ingest_gateway.access.permissions import Role
from rowstream.runtime.passwords import LEAST, MOST

_Email = Annotated[
    str, Field(max_length=254, pattern=r"^[^\x00-\x1F\x7F]+$", description="The e-mail address, in any spelling")
]
OrganizationName = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1F\x7F]+$")]
_RefreshToken = Annotated[str, Field(min_length=1, max_length=128, description="The newest one of the session")]


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)


class LogInRequest(_Request):
    """Who somebody says they are."""

    email: _Email
    password: str = Field(min_length=1, max_length=MOST, description="The password")
    organization: OrganizationName | None = Field(
        None, description="The organization to log in to, by id or name; null: the only one"
    )


class RefreshRequest(_Request):
    """A session that is to go on, or to end."""

    refresh_token: _RefreshToken


class PasswordChange(_Request):
    """Another password."""

    current_password: str = Field(min_length=1, max_length=MOST, description="The present one")
    new_password: str = Field(
        min_length=LEAST, max_length=MOST, description="The new one; several words make a good one"
    )


class SessionUser(BaseModel):
    """Whose session it is."""

    id: UUID
    email: str
    name: str


class SessionOrganization(BaseModel):
    """For which organization a session is."""

    id: UUID
    name: str


class SessionTokens(BaseModel):
    """A session: send the access token with each request, and the refresh token once, for the next pair."""

    access_token: str = Field(description="Goes into the header `Authorization: Bearer ...`")
    token_type: str = Field("Bearer", description="How the access token is sent")
    expires_in: int = Field(description="Seconds for which the access token is valid")
    refresh_token: str = Field(description="Gives the next pair, once: used twice, it ends the session")
    refresh_expires_in: int = Field(description="Seconds for which the refresh token is valid")
    session_id: UUID
    user: SessionUser
    organization: SessionOrganization
    role: Role = Field(description="What the person is in the organization at this moment")


class VerificationKey(BaseModel):
    """A key that access tokens are verified with (RFC 8037)."""

    kty: str
    crv: str
    x: str
    use: str
    alg: str
    kid: str = Field(description="Its thumbprint (RFC 7638)")


class VerificationKeys(BaseModel):
    """A JWK set (RFC 7517)."""

    keys: list[VerificationKey] = Field(description="The first one signs")
