"""The gateway's limits on requests: `ROWSTREAM_LIMITS__...`."""

from pydantic import BaseModel, Field, SecretStr


class LimitsSlice(BaseModel):
    """How many requests are answered. Each limit is a token bucket: so many tokens a minute, one for each request."""

    redis_url: SecretStr | None = Field(
        None,
        description="Redis in which several gateways count together: redis://:password@host:6379/0, rediss:// for TLS; "
        "empty: each gateway counts alone",
    )
    address_per_minute: int = Field(
        12_000, ge=0, le=10_000_000, description="Requests of one address (of a /64 for IPv6), 0: no limit"
    )
    key_per_minute: int = Field(6_000, ge=0, le=10_000_000, description="Requests with one API key, 0: no limit")
    user_per_minute: int = Field(3_000, ge=0, le=10_000_000, description="Requests of one person, 0: no limit")
    organization_per_minute: int = Field(
        12_000,
        ge=0,
        le=10_000_000,
        description="Requests of all keys and people of an organization that has no limit of its own, 0: no limit",
    )
    burst_seconds: float = Field(
        10.0, gt=0, le=3_600, description="Seconds of unused tokens that a bucket holds: so much may come at once"
    )
    remembered: int = Field(
        20_000, ge=100, le=10_000_000, description="Buckets held in memory; the one longest unused is forgotten first"
    )
