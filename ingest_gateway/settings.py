"""The gateway's slice of the settings: `ROWSTREAM_GATEWAY__...`."""

from pathlib import Path

from pydantic import BaseModel, Field

from ingest_gateway.access.settings import AccessSettings, OidcSettings
from ingest_gateway.http_settings import GatewayHttp
from ingest_gateway.limit_settings import LimitsSlice
from ingest_gateway.sending_settings import SendingSlice
from rowstream.runtime.settings import ServiceSettings

_GIGABYTE = 10**9


class GatewaySlice(BaseModel):
    """What the front door lets in, and for how long it waits."""

    presign_seconds: int = Field(3_600, ge=60, le=604_800, description="Seconds for which a presigned URL is valid")
    expiry_grace_seconds: int = Field(
        86_400,
        ge=0,
        description="Seconds after its URL's end at which an upload that was never confirmed is given up",
    )
    max_upload_bytes: int = Field(
        50 * _GIGABYTE, ge=1, le=50_000 * _GIGABYTE, description="Largest file that is taken, in bytes"
    )
    intake_buckets: str = Field(
        "",
        pattern=r"^[A-Za-z0-9._\-, ]*$",
        description="Buckets that requests by Kafka may name: name, name; empty takes none",
    )
    intake_sources: str = Field(
        "",
        max_length=100_000,
        description="Which sources of requests by Kafka hand in for which organization: pattern=organization, ...,"
        " such as //crm/*=acme; empty: all of them, for the default one",
    )
    sources_file: Path | None = Field(
        None, description="File (TOML) of those who hand in by S3 events and by SFTP; empty takes none"
    )
    s3_events_topic: str = Field(
        "",
        pattern=r"^[A-Za-z0-9._-]{0,249}$",
        description="Topic on which an object store tells of its objects; empty: none",
    )
    sns_topics: str = Field(
        "", pattern=r"^[A-Za-z0-9:_., -]*$", description="ARNs of the SNS topics whose S3 events are taken: ARN, ARN"
    )
    relay_batch: int = Field(500, ge=1, le=10_000, description="Messages of the outbox published in one transaction")
    outbox_keep_seconds: int = Field(
        3_600, ge=0, description="Seconds after which a published message is removed from the outbox"
    )
    shutdown_seconds: int = Field(
        10, ge=1, le=600, description="Seconds that requests in flight have to finish when the service is asked to stop"
    )

    @property
    def allowed_buckets(self) -> frozenset[str]:
        """The names in `intake_buckets`."""
        return _listed(self.intake_buckets)

    @property
    def allowed_sns_topics(self) -> frozenset[str]:
        """The ARNs in `sns_topics`."""
        return _listed(self.sns_topics)


def _listed(names: str) -> frozenset[str]:
    return frozenset(name.strip() for name in names.split(",") if name.strip())


class GatewaySettings(ServiceSettings):
    """All settings of the gateway."""

    http: GatewayHttp = GatewayHttp()
    gateway: GatewaySlice = GatewaySlice()
    sending: SendingSlice = SendingSlice()
    limits: LimitsSlice = LimitsSlice()
    access: AccessSettings = AccessSettings()
    oidc: OidcSettings = OidcSettings()
