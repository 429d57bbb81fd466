"""Where a running system can be reached, and how other commands find that out."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self
from urllib.parse import urlsplit

from rowstream.stack.state_dir import StateDir

SYSTEM = "system.json"
API_KEY = "api_key"
OWNER = "owner@localhost"
OWNER_PASSWORD = "owner_password"  # noqa: S105 - the name of the file


@dataclass(frozen=True, kw_only=True)
class Addresses:
    """Every address of a running system.

    Attributes:
        gateway: base URL of the API.
        broker: bootstrap servers, host:port[,host:port].
        database: postgresql:// address with its password.
        storage: base URL of the object store; empty for AWS itself.
        bucket: where uploads are stored.
        api_key: of the default organization.
        metrics: for each service the URL of each of its processes' /metrics.
        owner: e-mail address of the default organization's first owner; empty once that one has another password.
        owner_password: goes with it.
    """

    gateway: str
    broker: str
    database: str = field(repr=False)
    storage: str
    bucket: str
    api_key: str = field(repr=False)
    metrics: Mapping[str, tuple[str, ...]]
    owner: str = ""
    owner_password: str = field(default="", repr=False)

    def as_json(self) -> dict[str, Any]:
        """What `rowstream up --json` prints; holds the secrets."""
        return asdict(self)

    def save(self, state: StateDir) -> None:
        """Let other commands of this user find the system."""
        state.write_json(SYSTEM, self.as_json())

    @classmethod
    def saved(cls, state: StateDir) -> Self | None:
        """The system that was last seen on this state folder; None if there is none. It may be gone."""
        try:
            return cls(**state.read_json(SYSTEM))
        except TypeError:
            return None

    def line(self) -> str:
        """All addresses in one line for people, without secrets."""
        return (
            f"gateway {self.gateway}  broker {self.broker}  database {without_password(self.database)}  "
            f"storage {self.storage or 'AWS'}  bucket {self.bucket}"
        )


def without_password(url: str) -> str:
    """The URL of a server without the password in it."""
    parts = urlsplit(url)
    if parts.password is None:
        return url
    return parts._replace(netloc=f"{parts.username}@{parts.netloc.rpartition('@')[2]}").geturl()
