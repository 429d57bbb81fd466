"""The gateway's settings of who gets in: `ROWSTREAM_ACCESS__...` and `ROWSTREAM_OIDC__...`."""

from typing import Self
from urllib.parse import urlsplit

from pydantic import BaseModel, Field, SecretStr, model_validator

_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


class AccessSettings(BaseModel):
    """How people log in, and for how long."""

    secrets_file: str | None = Field(
        None,
        description="File of the keys that sign tokens, as `rowstream secrets make` makes one; empty: nobody logs in",
    )
    issuer: str = Field("rowstream", min_length=1, description="`iss` of access tokens: this system")
    audience: str = Field("rowstream", min_length=1, description="`aud` of access tokens: this system's API")
    access_token_seconds: int = Field(600, ge=60, le=3_600, description="Seconds for which an access token is valid")
    session_idle_seconds: int = Field(
        43_200, ge=300, le=2_592_000, description="Seconds after which a session that was not refreshed has ended"
    )
    session_seconds: int = Field(
        604_800, ge=300, le=31_536_000, description="Seconds after which a session has ended, however often refreshed"
    )
    attempts_an_account: int = Field(
        10,
        ge=1,
        le=1_000,
        description="Log-ins of one account that may fail at once from one address; then one a minute",
    )
    attempts_an_address: int = Field(
        100, ge=1, le=100_000, description="Log-ins that may fail from one address in a minute, whoever it is"
    )
    hashes_at_once: int = Field(
        2, ge=1, le=64, description="Passwords that are checked at a time; each takes 19 MiB and a core for a moment"
    )


class OidcSettings(BaseModel):
    """An OpenID Connect provider that people log in with; all empty: there is none."""

    issuer: str | None = Field(None, description="The provider's address, as its discovery document says it")
    client_id: str | None = Field(None, description="Under which rowstream is registered there")
    client_secret: SecretStr | None = Field(None, description="Goes with the client id")
    redirect_url: str | None = Field(
        None, description="Where the provider sends people back to: https://YOUR-HOST/auth/oidc/callback"
    )
    allowed_domains: str = Field(
        "",
        pattern=r"^[A-Za-z0-9.\-, ]*$",
        description="Domains of the e-mail addresses that may log in: name, name; empty: any that was invited",
    )

    @property
    def domains(self) -> frozenset[str]:
        """The names in `allowed_domains`, in small letters."""
        return frozenset(name.strip().lower() for name in self.allowed_domains.split(",") if name.strip())

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        together = (self.issuer, self.client_id, self.client_secret, self.redirect_url)
        if any(together) and not all(together):
            raise ValueError("issuer, client_id, client_secret and redirect_url go together")
        for url in filter(None, (self.issuer, self.redirect_url)):
            if not is_secure(url):
                raise ValueError("issuer and redirect_url must be https:// addresses")
        return self


def is_secure(url: str) -> bool:
    """Whether what is sent to an address nobody on the way can read: https, or http on this machine."""
    parts = urlsplit(url)
    return (parts.scheme == "https" and bool(parts.hostname)) or (
        parts.scheme == "http" and parts.hostname in _LOOPBACK
    )
