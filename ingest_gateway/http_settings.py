"""Where and how the gateway answers: TLS, proxies in front of it, browsers, and how long it waits for a request."""

import ipaddress
from typing import Self

from pydantic import Field, field_validator, model_validator

from rowstream.runtime.settings import HttpSettings

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class GatewayHttp(HttpSettings):
    """Where and how the gateway answers: by TLS, or behind a proxy that it trusts, or for its own machine alone."""

    certificate_file: str | None = Field(
        None, description="File (PEM) of the certificate, with the chain behind it, for TLS; empty: no TLS here"
    )
    key_file: str | None = Field(None, description="File (PEM) of the certificate's key, without a password")
    trusted_proxies: str = Field(
        "",
        description="Networks of the proxies whose X-Forwarded-For and X-Forwarded-Proto are believed: "
        "10.0.0.0/8, 192.0.2.7",
    )
    cors_origins: str = Field(
        "", description="Origins whose pages may use the API in a browser: https://a.example, https://b.example"
    )
    head_seconds: float = Field(
        10.0, gt=0, le=600, description="Seconds within which the first line and the headers of a request are there"
    )
    body_seconds: float = Field(
        30.0, gt=0, le=3_600, description="Seconds that a body may take, beside those for its size at slowest_rate"
    )
    slowest_rate: int = Field(
        10_000, ge=1, description="Bytes a second; a body that comes slower than this is not waited for"
    )
    keep_alive_seconds: int = Field(
        65,
        ge=1,
        le=3_600,
        description="Seconds that a connection without a request is kept; more than a proxy keeps it",
    )
    max_connections: int = Field(
        800, ge=1, le=1_000_000, description="Connections at a time; further ones are closed. Below the limit of files"
    )
    connections_per_address: int = Field(
        256, ge=1, le=1_000_000, description="Connections at a time from one address that is no trusted proxy"
    )

    @property
    def trusted_networks(self) -> tuple[Network, ...]:
        """The networks in `trusted_proxies`."""
        return tuple(ipaddress.ip_network(part) for part in _parts(self.trusted_proxies))

    @property
    def allowed_origins(self) -> tuple[str, ...]:
        """The origins in `cors_origins`."""
        return _parts(self.cors_origins)

    @field_validator("trusted_proxies")
    @classmethod
    def _are_networks(cls, value: str) -> str:
        for part in _parts(value):
            try:
                ipaddress.ip_network(part)
            except ValueError as error:
                raise ValueError(f"{part!r} is no network such as 10.0.0.0/8 or 2001:db8::/32 ({error})") from None
        return value

    @field_validator("cors_origins")
    @classmethod
    def _are_origins(cls, value: str) -> str:
        for part in _parts(value):
            scheme, _, rest = part.partition("://")
            if scheme not in {"http", "https"} or not rest or set(rest) & set("/?#@*") or not rest.isascii():
                raise ValueError(f"{part!r} is no origin such as https://staff.example; a page's origin has no path")
        return value

    @model_validator(mode="after")
    def _tls_is_whole(self) -> Self:
        if bool(self.certificate_file) != bool(self.key_file):
            raise ValueError("certificate_file and key_file go together")
        return self


def _parts(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())
