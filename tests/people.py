"""People for tests that log in: users with passwords, and gateways that have a secrets file."""

from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx

from ingest_gateway.settings import GatewaySettings
from rowstream.database import users
from rowstream.database.keys import DEFAULT_ORGANIZATION
from rowstream.runtime.passwords import hash_password
from rowstream.runtime.secrets import new_secrets, write
from rowstream.runtime.settings import StorageSettings
from tests.engines import engine_of

PASSWORD = "correct horse battery staple"  # noqa: S105 - of people who exist in tests alone
PASSWORD_HASH = hash_password(PASSWORD)


def settings_with_secrets(
    database_url: str, storage: StorageSettings, folder: Path, **slices: Any
) -> tuple[GatewaySettings, Path]:
    """Settings of a gateway that people log in to, and its secrets file, made in `folder`."""
    path = folder / "secrets.json"
    write(path, new_secrets())
    access = {"secrets_file": str(path), **slices.pop("access", {})}
    return GatewaySettings.load(database={"url": database_url}, storage=storage, access=access, **slices), path


def make_person(
    database_url: str,
    role: str = "operator",
    organization_id: UUID = DEFAULT_ORGANIZATION,
    *,
    password_hash: str | None = PASSWORD_HASH,
    email: str | None = None,
) -> str:
    """The e-mail address of a new user, whose password is `PASSWORD`, in one organization."""
    address = email or f"{uuid4()}@example.org"
    with engine_of(database_url, pool_size=1) as engine, engine.begin() as connection:
        user_id = users.make_user(connection, address, f"The {role}", password_hash)
        assert user_id is not None
        assert users.make_member(connection, organization_id, user_id, role, by="tests", accepted=True)
    return address


def join(database_url: str, email: str, role: str, organization_id: UUID, *, accepted: bool = True) -> None:
    """Make a user a member of one more organization, who has been there or is only invited."""
    with engine_of(database_url, pool_size=1) as engine, engine.begin() as connection:
        user = users.find(connection, email)
        assert user is not None
        assert users.make_member(connection, organization_id, user.id, role, by="tests", accepted=accepted)


def log_in(client: httpx.Client, email: str, password: str = PASSWORD, **more: object) -> httpx.Response:
    """The answer to a log-in."""
    return client.post("/auth/login", json={"email": email, "password": password, **more})


def bearer(token: str) -> dict[str, str]:
    """The header that sends a token."""
    return {"Authorization": f"Bearer {token}"}
