"""Everybody who may stand before the API, and everything of an organization that they may ask for.

One organization with a person in each role, keys with each scope alone, and whoever must not get in any more; another
organization whose owner and whose key may do everything there; and makers of what requests name.
"""

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import sqlalchemy
from sqlalchemy import Connection, Engine, func, insert, update

from ingest_gateway.access import tokens
from ingest_gateway.access.permissions import Permission, Role, of_role
from ingest_gateway.settings import GatewaySettings
from rowstream.database import keys, organizations, sessions, users
from rowstream.database.access_tables import api_keys
from rowstream.database.sessions import Lifetimes, Session
from rowstream.database.tables import batch_uploads, dead_letters
from rowstream.ids import new_id
from rowstream.runtime import secrets
from rowstream.storage.s3 import S3Store
from tests import gateways, people, servers
from tests.engines import engine_of

EVERYTHING = frozenset(Permission)
_HOUR = Lifetimes(idle=3_600, whole=3_600)
_UNLIMITED = ("address", "key", "user", "organization")


@dataclass(frozen=True)
class Caller:
    """Somebody who asks.

    Attributes:
        name: for messages.
        headers: fresh ones, with their credentials.
        may: what they may do in their organization; None for those who must not get in.
        own: whether it is the organization of the tests.
        person: whether they are a person in a session, and their password.
    """

    name: str
    headers: Callable[[], dict[str, str]]
    may: frozenset[Permission] | None
    own: bool = True
    person: "Person | None" = None


@dataclass
class Person:
    """Somebody who logs in."""

    id: UUID
    organization_id: UUID
    email: str
    password: str = people.PASSWORD


@dataclass
class World:
    """A gateway, the two organizations, and what there is in the first."""

    client: httpx.Client
    settings: GatewaySettings
    secrets: secrets.Secrets
    owner: Engine
    store: S3Store
    organization_id: UUID
    other_id: UUID
    callers: list[Caller] = field(default_factory=list)
    _credentials: dict[str, dict[str, str]] = field(default_factory=dict)

    def credentials(self, caller: Caller, *, last: bool = False) -> dict[str, str]:
        """The headers with a caller's credentials, which are made once; `last` if they end with this request."""
        headers = self._credentials.setdefault(caller.name, {}) or caller.headers()
        self._credentials[caller.name] = {} if last else headers
        return headers

    def upload(self, status: str = "processing") -> UUID:
        """An upload of the organization."""
        upload_id = new_id()
        row = {
            "id": upload_id,
            "organization_id": self.organization_id,
            "status": status,
            "source_type": "api",
            "source": "tests",
            "source_event_id": str(upload_id),
            "correlation_id": "c",
            "traceparent": "00-" + "1" * 32 + "-" + "2" * 16 + "-01",
            "record_type": "member_certification",
            "filename": "members.csv",
            "s3_bucket": servers.BUCKET,
            "s3_key": f"raw-uploads/{upload_id}",
            "etag": "e",
            "created_by": "tests",
            "accepted_at": datetime.now(UTC),
        }
        self._insert(batch_uploads, row)
        return upload_id

    def waiting(self, root: str = "/api/v1/batch_uploads") -> str:
        """An upload that waits to be confirmed, and whose file is there."""
        place = self.ask("POST", f"{root}/presigned_url", json={**FILE, "size_bytes": 3}).json()
        assert self.client.put(place["url"], content=b"a,b").is_success
        return str(place["upload_id"])

    def in_parts(self, *, sent: bool = False) -> str:
        """An upload in one part, which was sent or not."""
        begun = self.ask("POST", "/api/v1/batch_uploads/multipart", json={**FILE, "size_bytes": 3}).json()
        path = f"/api/v1/batch_uploads/{begun['upload_id']}/parts"
        if sent:
            (part,) = self.ask("POST", path, json={"numbers": [1]}).json()["items"]
            assert self.client.put(part["url"], content=b"a,b").is_success
        return str(begun["upload_id"])

    def laid(self, caller: Caller) -> str:
        """The key of an object that lies where the caller's organization lays its files."""
        key = f"{self.organization_id if caller.own else self.other_id}/in/{uuid4()}.csv"
        self.store.put(LANDING, key, io.BytesIO(b"a,b"))
        return key

    def dead_letter(self) -> UUID:
        """A dead letter of the organization."""
        letter_id = new_id()
        row = {
            "id": letter_id,
            "organization_id": self.organization_id,
            "batch_upload_id": self.upload("failed"),
            "attempt": 1,
            "error_code": "UNK_001",
            "reason": "a test",
            "tries": 1,
            "records": 1,
        }
        self._insert(dead_letters, row)
        return letter_id

    def key(self, scopes: frozenset[Permission] = frozenset({Permission.UPLOADS_READ})) -> UUID:
        """A key of the organization that may little."""
        key_id = new_id()
        with self.owner.begin() as connection:
            keys.make_key(connection, self.organization_id, "a key", key_id=key_id, scopes=scopes)
        return key_id

    def member(self) -> UUID:
        """A member of the organization who may little."""
        with self.owner.begin() as connection:
            return _person(connection, self.organization_id, Role.VIEWER).id

    def ask(self, method: str, path: str, **request: Any) -> httpx.Response:
        """The answer to somebody of the organization who may do everything."""
        (chief,) = [caller for caller in self.callers if caller.name == "key with every scope"]
        answer = self.client.request(method, path, headers=self.credentials(chief), **request)
        assert answer.is_success, answer.text
        return answer

    def token(self, person: Person, *, seconds_ago: float = 0.0, session: Session | None = None) -> dict[str, str]:
        """The header with an access token of a new session, or of one that is given."""
        with self.owner.begin() as connection:
            if session is None:
                granted = sessions.open_session(connection, person.id, person.organization_id, _HOUR, address=None)
                session = granted.session
            now: datetime = connection.execute(sqlalchemy.select(func.clock_timestamp())).scalar_one()
        made = now - timedelta(seconds=seconds_ago)
        return people.bearer(tokens.issue(self.secrets, self.settings.access, session, made))

    def _insert(self, table: sqlalchemy.Table, row: dict[str, Any]) -> None:
        with self.owner.begin() as connection:
            connection.execute(insert(table).values(row))


LANDING = "landing"
FILE = {"record_type": "member_certification", "filename": "members.csv"}


@contextmanager
def world(database_url: str, storage: Any, folder: Path) -> Iterator[World]:
    """A gateway without limits on requests, with everybody who may stand before it."""
    limits = dict.fromkeys((f"{name}_per_minute" for name in _UNLIMITED), 0)
    taken = {"intake_buckets": LANDING}
    settings, path = people.settings_with_secrets(database_url, storage, folder, limits=limits, gateway=taken)
    store = S3Store(storage)
    store.make_bucket(LANDING)
    with (
        engine_of(database_url, pool_size=2) as owner,
        gateways.serving(settings) as address,
        gateways.client_of(address, None) as client,
    ):
        own, other = (servers.make_organization(database_url, name) for name in ("own", "other"))
        made = World(client, settings, secrets.read(path), owner, store, own, other)
        with owner.begin() as connection:
            made.callers.extend([*_keys(connection, made), *_people(connection, made), *_nobodies(connection, made)])
        yield made


def _keys(connection: Connection, made: World) -> Iterator[Caller]:
    for scope in Permission:
        yield Caller(f"key with {scope}", _key(connection, made.organization_id, {scope}), frozenset({scope}))
    yield Caller("key without scopes", _key(connection, made.organization_id, None), of_role(Role.OPERATOR))
    yield Caller("key with every scope", _key(connection, made.organization_id, EVERYTHING), EVERYTHING)
    yield Caller("key of another organization", _key(connection, made.other_id, EVERYTHING), EVERYTHING, own=False)


def _people(connection: Connection, made: World) -> Iterator[Caller]:
    for role in Role:
        yield _in_session(made, role, _person(connection, made.organization_id, role))
    _person(connection, made.organization_id, Role.OWNER)  # so that none of them is the last one
    stranger = _in_session(made, Role.OWNER, _person(connection, made.other_id, Role.OWNER))
    yield Caller("owner of another organization", stranger.headers, EVERYTHING, own=False, person=stranger.person)


def _in_session(made: World, role: Role, person: Person) -> Caller:
    return Caller(role, lambda: made.token(person), of_role(role), person=person)


def _nobodies(connection: Connection, made: World) -> Iterator[Caller]:
    """Those who must not get in, whatever they might do if they did."""
    own, now = made.organization_id, datetime.now(UTC)
    yield Caller("nobody", dict, None)
    yield Caller("nonsense", lambda: people.bearer("nonsense"), None)
    yield Caller("other scheme", lambda: {"Authorization": "Basic b3duZXI6c2VjcmV0"}, None)
    yield Caller("unknown key", lambda: people.bearer(f"{keys.PREFIX}{'x' * 43}"), None)
    yield Caller("expired key", _key(connection, own, EVERYTHING, expires_at=now - timedelta(seconds=1)), None)
    yield Caller("revoked key", _key(connection, own, EVERYTHING, revoked_at=now), None)
    yield Caller("key that only signs", _key(connection, own, EVERYTHING, signed_only=True), None)
    closed = organizations.make(connection, f"closed {uuid4()}").id
    yield Caller("key of a closed organization", _key(connection, closed, EVERYTHING), None)
    ghost = _person(connection, closed, Role.OWNER)
    organizations.close(connection, closed)
    yield Caller("owner of a closed organization", lambda: made.token(ghost), None)
    member = _person(connection, own, Role.OWNER)
    long_ago = made.settings.access.access_token_seconds + tokens.LEEWAY_SECONDS + 5
    yield Caller("expired token", lambda: made.token(member, seconds_ago=long_ago), None)
    ended = sessions.open_session(connection, member.id, own, _HOUR, address=None).session
    sessions.end(connection, ended)
    yield Caller("token of an ended session", lambda: made.token(member, session=ended), None)
    disabled = _person(connection, own, Role.OWNER)
    users.disable(connection, disabled.id)
    yield Caller("disabled owner", lambda: made.token(disabled), None)
    stranger = Person(ghost.id, own, ghost.email)
    yield Caller("token for an organization that they are not in", lambda: made.token(stranger), None)
    forged = secrets.new_secrets()
    session = Session(id=uuid4(), user_id=member.id, organization_id=own)
    yield Caller(
        "token signed by others",
        lambda: people.bearer(tokens.issue(forged, made.settings.access, session, datetime.now(UTC))),
        None,
    )


def _key(connection: Connection, organization_id: UUID, scopes: Any, **columns: Any) -> Callable[[], dict[str, str]]:
    key_id = new_id()
    key = keys.make_key(connection, organization_id, "tests", key_id=key_id, scopes=scopes)
    if columns:
        connection.execute(update(api_keys).where(api_keys.c.id == key_id).values(**columns))
    return lambda: people.bearer(key)


def _person(connection: Connection, organization_id: UUID, role: Role) -> Person:
    email = f"{uuid4()}@example.org"
    user_id = users.make_user(connection, email, f"The {role}", people.PASSWORD_HASH)
    assert user_id is not None
    assert users.make_member(connection, organization_id, user_id, role, by="tests", accepted=True)
    return Person(user_id, organization_id, email)
