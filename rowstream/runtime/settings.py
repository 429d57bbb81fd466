"""One typed tree of settings, read from the environment (`ROWSTREAM_*`), the same names for every service.

A service adds a slice of its own to `ServiceSettings` (its `settings.py`). A nested setting's variable has a double
underscore between the levels: `ROWSTREAM_KAFKA__BOOTSTRAP_SERVERS`.
"""

from typing import Any, Literal, Self, TypeVar

from pydantic import BaseModel, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

from rowstream.errors import Fatal

S = TypeVar("S", bound="ServiceSettings")


class KafkaSettings(BaseModel):
    """How to reach the broker and how to share the work of a consumer group."""

    bootstrap_servers: str = Field("127.0.0.1:9092", description="Brokers to begin with: host:port, host:port")
    group_protocol: Literal["classic", "consumer"] = Field(
        "classic", description="consumer: the newer protocol (KIP-848), where the brokers have it"
    )
    session_timeout_ms: int = Field(
        6_000, ge=1_000, description="Milliseconds without a heartbeat after which a member's partitions go to others"
    )
    delivery_timeout_ms: int = Field(10_000, ge=1_000, description="Milliseconds after which a send has failed")
    max_message_bytes: int = Field(1_000_000, ge=100_000, description="Largest message, in bytes")
    replication: int = Field(1, ge=1, le=32_767, description="Copies of each partition of the topics that are made")
    fetch_wait_ms: int = Field(
        500,
        ge=1,
        le=10_000,
        description="Milliseconds that a broker may keep its answer back while there is nothing to read; a good one "
        "answers as soon as there is something",
    )
    security_protocol: Literal["plaintext", "ssl", "sasl_plaintext", "sasl_ssl"] = Field(
        "plaintext", description="ssl: the line is encrypted (TLS); sasl: the brokers want a name and a password"
    )
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(
        "SCRAM-SHA-512", description="How name and password are shown to the brokers"
    )
    username: str | None = Field(None, description="The name that goes with sasl_plaintext and sasl_ssl")
    password: SecretStr | None = Field(None, description="Goes with the name")
    ca_file: str | None = Field(
        None, description="File (PEM) of the authorities that may vouch for the brokers; empty: this machine's own"
    )
    certificate_file: str | None = Field(
        None, description="File (PEM) of the certificate to show, where the brokers want one"
    )
    key_file: str | None = Field(None, description="File (PEM) of the certificate's key, without a password")

    @model_validator(mode="after")
    def _credentials_are_whole(self) -> Self:
        if self.security_protocol.startswith("sasl") and not (self.username and self.password):
            raise ValueError(f"security_protocol {self.security_protocol} needs username and password")
        if bool(self.certificate_file) != bool(self.key_file):
            raise ValueError("certificate_file and key_file go together")
        return self


class DatabaseSettings(BaseModel):
    """How to reach Postgres (15 and later)."""

    url: SecretStr = Field(
        SecretStr("postgresql://postgres@127.0.0.1:5432/postgres"),
        description="postgresql://user:password@host:port/name; ?sslmode=verify-full&sslrootcert=FILE for TLS",
    )
    pool_size: int = Field(
        4, ge=1, le=100, description="Connections a process keeps open; a splitter or auditor more if it needs them"
    )


class StorageSettings(BaseModel):
    """How to reach the object store."""

    endpoint_url: str | None = Field(None, description="Address of an S3 server that is not AWS; empty for AWS")
    region: str = Field("us-east-1", description="Region of the bucket")
    access_key_id: str | None = Field(None, description="Empty: the machine's own identity (IAM role, profile)")
    secret_access_key: SecretStr | None = Field(None, description="Goes with the access key id")
    bucket: str = Field("rowstream", description="The bucket that uploads are stored in")
    presigned_post: bool = Field(
        default=True, description="Whether the store takes presigned POST (with a size limit); if not, PUT is used"
    )


class HttpSettings(BaseModel):
    """Where a service answers: the gateway its API, the others /healthz, /readyz and /metrics."""

    host: str = Field("127.0.0.1", description="Address to listen on; loopback unless said otherwise")
    port: int = Field(0, ge=0, le=65_535, description="Port to listen on; 0 takes a free one")


class LogSettings(BaseModel):
    """What is logged."""

    level: Literal["debug", "info", "warning", "error"] = Field("info", description="The least that is logged")


class ServiceSettings(BaseSettings):
    """What every service has; each adds its own slice."""

    model_config = SettingsConfigDict(
        env_prefix="ROWSTREAM_",
        env_nested_delimiter="__",
        env_ignore_empty=True,  # as a compose file leaves them that names a variable nobody has set
        extra="ignore",
        hide_input_in_errors=True,
    )

    kafka: KafkaSettings = KafkaSettings()
    database: DatabaseSettings = DatabaseSettings()
    storage: StorageSettings = StorageSettings()
    http: HttpSettings = HttpSettings()
    log: LogSettings = LogSettings()

    @classmethod
    def load(cls, **overrides: Any) -> Self:
        """The settings in the environment.

        Raises:
            Fatal: a value is wrong; names its variable and says what is.
        """
        try:
            return cls(**overrides)
        except ValidationError as error:
            faults = (f"{variable_name(fault['loc'])}: {fault['msg']}" for fault in error.errors())
            raise Fatal("; ".join(faults)) from None
        except SettingsError as error:
            # Raised for a whole slice given as one variable (ROWSTREAM_KAFKA), which must be JSON.
            raise Fatal(f"{error}; set its parts one by one, such as ROWSTREAM_KAFKA__BOOTSTRAP_SERVERS") from None


def variable_name(path: tuple[int | str, ...]) -> str:
    """The environment variable of a place in the tree: ("kafka", "x") -> ROWSTREAM_KAFKA__X."""
    return "ROWSTREAM_" + "__".join(str(part).upper() for part in path)
