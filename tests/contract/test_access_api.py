"""Keys, members, the organization and the trail over HTTP: what each request is answered, on a real database."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import psycopg
import pytest

from ingest_gateway.access.permissions import Permission, Role, of_role
from rowstream.database import keys as stored
from rowstream.database import users
from rowstream.ids import new_id
from tests import gateways, people, servers
from tests.engines import engine_of
from tests.problems import problem

KEYS, MEMBERS, ORGANIZATION, ACTS = "/api/v1/keys", "/api/v1/members", "/api/v1/organization", "/api/v1/acts"
NOBODYS = "0198c0de-0000-7000-8000-0000000000ff"


@pytest.fixture(scope="module")
def address(url: str, object_store: servers.Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("secrets")
    settings, _ = people.settings_with_secrets(url, servers.storage_settings(object_store), folder)
    with gateways.serving(settings) as address:
        yield address


@pytest.fixture
def organization(url: str) -> UUID:
    """An organization of this test's own."""
    return servers.make_organization(url, f"organization {uuid4()}")


def key_of(url: str, organization: UUID, scopes: set[Permission] | frozenset[Permission]) -> str:
    with engine_of(url, pool_size=1) as engine, engine.begin() as connection:
        return stored.make_key(connection, organization, "tests", scopes=scopes)


def client(address: str, url: str, organization: UUID, role: Role) -> httpx.Client:
    """A client with a key that may what the role may."""
    return gateways.client_of(address, key_of(url, organization, of_role(role)))


@pytest.fixture
def owner(address: str, url: str, organization: UUID) -> Iterator[httpx.Client]:
    with client(address, url, organization, Role.OWNER) as client_:
        yield client_


@pytest.fixture
def admin(address: str, url: str, organization: UUID) -> Iterator[httpx.Client]:
    with client(address, url, organization, Role.ADMIN) as client_:
        yield client_


@pytest.fixture
def brief_end() -> datetime:
    return datetime.now(UTC) + timedelta(hours=1)


@pytest.fixture
def brief(address: str, url: str, organization: UUID, brief_end: datetime) -> Iterator[httpx.Client]:
    """A client with a key that may what an administrator may, until `brief_end`."""
    with engine_of(url, pool_size=1) as engine, engine.begin() as connection:
        scopes = of_role(Role.ADMIN)
        key = stored.make_key(connection, organization, "brief", scopes=scopes, expires_at=brief_end)
    with gateways.client_of(address, key) as client_:
        yield client_


@pytest.fixture
def other(address: str, url: str) -> Iterator[httpx.Client]:
    """The owner of another organization."""
    with client(address, url, servers.make_organization(url, f"other {uuid4()}"), Role.OWNER) as client_:
        yield client_


def made(api: httpx.Client, **wanted: object) -> dict[str, Any]:
    answer = api.post(KEYS, json={"name": "nightly export", **wanted})
    assert answer.status_code == 201, answer.text
    body: dict[str, Any] = answer.json()
    return body


def works(address: str, key: str) -> bool:
    """Whether the key gets in; it needs uploads:read."""
    with gateways.client_of(address, key) as api:
        answer = api.get("/api/v1/record_types")
    assert answer.status_code in (200, 401), answer.text
    return answer.status_code == 200


def acts(api: httpx.Client) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = api.get(ACTS).json()["items"]
    return items


def execute(url: str, statement: str, *values: object) -> None:
    with psycopg.connect(url) as connection:
        connection.execute(statement, values)


class TestKeys:
    def test_a_new_key_is_shown_once_and_works(self, admin: httpx.Client, address: str, url: str) -> None:
        key = made(admin, scopes=["uploads:write", "uploads:read"])
        assert works(address, key["key"])
        assert key["scopes"] == ["uploads:read", "uploads:write"]
        assert (key["state"], key["signed_only"], key["created_by"]) == ("valid", False, "tests")
        listed = admin.get(KEYS).json()["items"][0]
        assert listed == {name: value for name, value in key.items() if name != "key"} | {
            "last_used_at": listed["last_used_at"],
            "last_used_from": listed["last_used_from"],
        }
        with psycopg.connect(url) as connection:
            rows = connection.execute("SELECT k::text FROM api_keys k").fetchall()
        assert key["key"] not in str(rows)
        assert key["key"] not in str(acts(admin))

    def test_who_asks_again_is_shown_it_again_and_nobody_finds_it_in_the_database(
        self, admin: httpx.Client, address: str, url: str
    ) -> None:
        once = {"Idempotency-Key": str(uuid4())}
        first, again = (admin.post(KEYS, json={"name": "x"}, headers=once) for _ in range(2))
        assert (first.status_code, again.status_code, again.content) == (201, 201, first.content)
        assert again.headers["idempotent-replayed"] == "true"
        assert works(address, again.json()["key"])
        with psycopg.connect(url) as connection:
            query = "SELECT body FROM idempotency_keys WHERE key = %s"
            (body,) = connection.execute(query, (once["Idempotency-Key"],)).fetchone() or (b"",)
        assert body
        assert first.json()["key"].encode() not in body
        assert first.json()["id"].encode() not in body

    def test_a_rotation_whose_answer_was_lost_is_asked_for_again(self, admin: httpx.Client, address: str) -> None:
        path, once = f"{KEYS}/{made(admin)['id']}/rotate", {"Idempotency-Key": str(uuid4())}
        first, again = (admin.post(path, headers=once).json() for _ in range(2))
        assert again == first
        assert works(address, again["key"])
        problem(admin.post(path), 409, "key_not_rotatable")

    def test_another_answer_put_in_its_place_is_not_given(self, admin: httpx.Client, url: str) -> None:
        """Each is sealed for its own key, so that who writes to the database cannot hand out another's."""
        first, second = ({"Idempotency-Key": str(uuid4())} for _ in range(2))
        for once in (first, second):
            assert admin.post(KEYS, json={"name": "x"}, headers=once).status_code == 201
        execute(
            url,
            "UPDATE idempotency_keys SET body = (SELECT body FROM idempotency_keys WHERE key = %s) WHERE key = %s",
            *(once["Idempotency-Key"] for once in (first, second)),
        )
        answer = admin.post(KEYS, json={"name": "x"}, headers=second)
        assert "other secrets" in problem(answer, 409, "answer_unreadable")["detail"]

    def test_without_secrets_none_is_made_that_could_not_be_shown_again(
        self, url: str, object_store: servers.Server, organization: UUID
    ) -> None:
        bare = gateways.gateway_settings(url, servers.storage_settings(object_store))
        with gateways.serving(bare) as address, client(address, url, organization, Role.ADMIN) as admin:
            count = len(admin.get(KEYS).json()["items"])
            once = {"Idempotency-Key": str(uuid4())}
            problem(admin.post(KEYS, json={"name": "x"}, headers=once), 503, "no_secrets_file")
            assert len(admin.get(KEYS).json()["items"]) == count
            assert admin.post(KEYS, json={"name": "x"}).status_code == 201

    def test_without_scopes_it_may_what_an_operator_may(self, admin: httpx.Client) -> None:
        assert set(made(admin)["scopes"]) == of_role(Role.OPERATOR)

    def test_it_may_do_what_its_scopes_say_and_no_more(self, admin: httpx.Client, address: str) -> None:
        with gateways.client_of(address, made(admin, scopes=["keys:read"])["key"]) as reader:
            assert reader.get(KEYS).status_code == 200
            assert problem(reader.post(KEYS, json={"name": "x"}), 403, "forbidden")["missing"] == ["keys:manage"]
            problem(reader.get("/api/v1/batch_uploads"), 403, "forbidden")

    def test_nobody_gives_more_than_they_have(self, admin: httpx.Client, url: str) -> None:
        answer = admin.post(KEYS, json={"name": "x", "scopes": ["uploads:read", "organization:manage"]})
        assert problem(answer, 403, "more_than_own")["missing"] == ["organization:manage"]
        with psycopg.connect(url) as connection:
            count = connection.execute("SELECT count(*) FROM api_keys WHERE 'organization:manage' = ANY(scopes)")
            assert count.fetchone() == (0,)

    def test_a_key_that_manages_keys_alone_cannot_make_an_operators(
        self, address: str, url: str, organization: UUID
    ) -> None:
        with gateways.client_of(address, key_of(url, organization, {Permission.KEYS_MANAGE})) as narrow:
            problem(narrow.post(KEYS, json={"name": "x"}), 403, "more_than_own")
            assert made(narrow, scopes=["keys:manage"])["scopes"] == ["keys:manage"]

    def test_a_key_of_one_that_ends_ends_with_it(
        self, brief: httpx.Client, brief_end: datetime, admin: httpx.Client
    ) -> None:
        assert datetime.fromisoformat(made(brief, scopes=["uploads:read"])["expires_at"]) == brief_end
        earlier = brief_end - timedelta(minutes=1)
        assert datetime.fromisoformat(made(brief, expires_at=earlier.isoformat())["expires_at"]) == earlier
        later = (brief_end + timedelta(seconds=1)).isoformat()
        refused = problem(brief.post(KEYS, json={"name": "x", "expires_at": later}), 403, "more_than_own")
        assert datetime.fromisoformat(refused["ends_at"]) == brief_end
        assert len(admin.get(KEYS).json()["items"]) == 4, "of brief and admin, and the two made here"

    @pytest.mark.parametrize(
        ("changed", "field"),
        [
            ({"scopes": ["everything"]}, "body.scopes.0"),
            ({"scopes": []}, "body.scopes"),
            ({"scopes": "uploads:read"}, "body.scopes"),
            ({"name": ""}, "body.name"),
            ({"name": " \t "}, "body.name"),
            ({"name": "x" * 201}, "body.name"),
            ({"name": "a\x00b"}, "body.name"),
            ({"name": "a\u202eb"}, "body.name"),
            ({"name": None}, "body.name"),
            ({"expires_at": "2001-01-01T00:00:00Z"}, "body.expires_at"),
            ({"expires_at": "2999-01-01T00:00:00"}, "body.expires_at"),
            ({"expires_at": "soon"}, "body.expires_at"),
            ({"signed_only": "yes"}, "body.signed_only"),
            ({"organization_id": NOBODYS}, "body.organization_id"),
        ],
    )
    def test_a_request_that_is_not_as_it_should_be_is_told_where(
        self, admin: httpx.Client, changed: dict[str, object], field: str
    ) -> None:
        errors = problem(admin.post(KEYS, json={"name": "x", **changed}), 422, "invalid_request")["errors"]
        assert field in [error["field"] for error in errors]

    def test_it_may_end_by_itself(self, admin: httpx.Client, address: str, url: str) -> None:
        end = datetime.now(UTC) + timedelta(hours=1)
        key = made(admin, expires_at=end.isoformat())
        assert datetime.fromisoformat(key["expires_at"]) == end
        with psycopg.connect(url) as connection:
            connection.execute("UPDATE api_keys SET expires_at = now() WHERE id = %s", (key["id"],))
        assert not works(address, key["key"])
        assert admin.get(KEYS).json()["items"][0]["state"] == "expired"

    def test_a_revoked_one_is_refused_at_once_and_noted_once(self, admin: httpx.Client, address: str) -> None:
        key = made(admin)
        assert [admin.delete(f"{KEYS}/{key['id']}").status_code for _ in range(2)] == [204, 204]
        assert not works(address, key["key"])
        assert [act["action"] for act in acts(admin)] == ["key.revoked", "key.made"]

    def test_one_of_a_closed_organization_is_told_how_it_is_opened(
        self, admin: httpx.Client, url: str, organization: UUID
    ) -> None:
        execute(url, "UPDATE organizations SET closed_at = now() WHERE id = %s", organization)
        assert "rowstream org set NAME --reopen" in problem(admin.get(KEYS), 401, "unauthorized")["detail"]

    def test_pages_hold_each_key_once(self, admin: httpx.Client) -> None:
        ids = [made(admin)["id"] for _ in range(4)]
        found, cursor = [], None
        while True:
            page = admin.get(KEYS, params={"limit": 2} | ({"cursor": cursor} if cursor else {})).json()
            found += [key["id"] for key in page["items"]]
            cursor = page["next_cursor"]
            if cursor is None:
                break
        assert found[:4] == ids[::-1]
        assert len(set(found)) == len(found) == 5

    @pytest.mark.parametrize("verb", ["rotate", "revoke"])
    @pytest.mark.parametrize("named", [NOBODYS, "no-id", "%00"])
    def test_an_unknown_one_is_404(self, admin: httpx.Client, verb: str, named: str) -> None:
        answer = admin.delete(f"{KEYS}/{named}") if verb == "revoke" else admin.post(f"{KEYS}/{named}/rotate")
        problem(answer, 404, "no_such_key")

    def test_another_organizations_key_is_404_and_goes_on(
        self, admin: httpx.Client, other: httpx.Client, address: str
    ) -> None:
        key = made(other)
        problem(admin.delete(f"{KEYS}/{key['id']}"), 404, "no_such_key")
        problem(admin.post(f"{KEYS}/{key['id']}/rotate"), 404, "no_such_key")
        assert key["id"] not in [one["id"] for one in admin.get(KEYS).json()["items"]]
        assert works(address, key["key"])


class TestRotation:
    def test_both_work_until_the_old_one_ends(self, admin: httpx.Client, address: str, url: str) -> None:
        old = made(admin, scopes=["uploads:read"])
        answer = admin.post(f"{KEYS}/{old['id']}/rotate")
        assert answer.status_code == 201
        new = answer.json()
        assert (new["name"], new["scopes"], new["expires_at"]) == (old["name"], old["scopes"], None)
        assert new["key"] != old["key"]
        assert works(address, old["key"])
        assert works(address, new["key"])
        shown = {key["id"]: key for key in admin.get(KEYS).json()["items"]}[old["id"]]
        assert shown["replaced_by"] == new["id"]
        left = datetime.fromisoformat(shown["expires_at"]) - datetime.now(UTC)
        assert timedelta(hours=23, minutes=50) < left <= timedelta(hours=24, minutes=1)
        with psycopg.connect(url) as connection:
            connection.execute("UPDATE api_keys SET expires_at = now() WHERE id = %s", (old["id"],))
        assert not works(address, old["key"])
        assert works(address, new["key"])

    def test_without_overlap_the_old_one_ends_at_once(self, admin: httpx.Client, address: str) -> None:
        old = made(admin)
        new = admin.post(f"{KEYS}/{old['id']}/rotate", json={"overlap_seconds": 0}).json()
        assert not works(address, old["key"])
        assert works(address, new["key"])

    def test_an_end_that_comes_before_the_overlaps_stays_and_the_new_one_lives_as_long(
        self, admin: httpx.Client
    ) -> None:
        old = made(admin, expires_at=(datetime.now(UTC) + timedelta(hours=2)).isoformat())
        new = admin.post(f"{KEYS}/{old['id']}/rotate").json()
        shown = {key["id"]: key for key in admin.get(KEYS).json()["items"]}[old["id"]]
        assert shown["expires_at"] == old["expires_at"]
        lives = [
            datetime.fromisoformat(key["expires_at"]) - datetime.fromisoformat(key["created_at"]) for key in (old, new)
        ]
        assert abs(lives[0] - lives[1]) < timedelta(seconds=10)

    def test_nobody_gets_the_successor_of_a_key_that_may_more(
        self, owner: httpx.Client, admin: httpx.Client, address: str
    ) -> None:
        strong = made(owner, scopes=["organization:manage", "uploads:read"])
        answer = admin.post(f"{KEYS}/{strong['id']}/rotate", json={"overlap_seconds": 0})
        assert problem(answer, 403, "more_than_own")["missing"] == ["organization:manage"]
        assert works(address, strong["key"])

    def test_a_key_that_ends_gets_no_successor_that_outlives_it(
        self, brief: httpx.Client, brief_end: datetime, admin: httpx.Client
    ) -> None:
        own = next(key for key in admin.get(KEYS).json()["items"] if key["name"] == "brief")
        for one in (own, made(admin)):
            problem(brief.post(f"{KEYS}/{one['id']}/rotate"), 403, "more_than_own")
        assert [key["replaced_by"] for key in admin.get(KEYS).json()["items"]] == [None] * 3
        end = (datetime.now(UTC) + timedelta(minutes=1)).isoformat()
        successor = brief.post(f"{KEYS}/{made(admin, expires_at=end)['id']}/rotate").json()
        assert datetime.fromisoformat(successor["expires_at"]) < brief_end

    def test_once_rotated_or_ended_it_cannot_be_again(self, admin: httpx.Client) -> None:
        rotated, revoked = made(admin), made(admin)
        new = admin.post(f"{KEYS}/{rotated['id']}/rotate").json()
        detail = problem(admin.post(f"{KEYS}/{rotated['id']}/rotate"), 409, "key_not_rotatable")["detail"]
        assert new["id"] in detail
        admin.delete(f"{KEYS}/{revoked['id']}")
        problem(admin.post(f"{KEYS}/{revoked['id']}/rotate"), 409, "key_not_rotatable")

    @pytest.mark.parametrize("overlap", [-1, 2_592_001, "60", 1.5, None])
    def test_the_overlap_is_within_bounds(self, admin: httpx.Client, overlap: object) -> None:
        answer = admin.post(f"{KEYS}/{made(admin)['id']}/rotate", json={"overlap_seconds": overlap})
        problem(answer, 422, "invalid_request")


class TestMembers:
    def test_inviting_makes_the_user_once(self, owner: httpx.Client, other: httpx.Client, url: str) -> None:
        email = f"Ann.{uuid4()}@Example.org"
        answer = owner.post(MEMBERS, json={"email": email, "name": "Ann", "role": "reviewer"})
        assert answer.status_code == 201, answer.text
        ann = answer.json()
        assert (ann["email"], ann["name"], ann["role"], ann["created_by"]) == (
            email.lower(),
            "Ann",
            "reviewer",
            "tests",
        )
        assert owner.get(MEMBERS).json()["items"] == [ann]
        again = other.post(MEMBERS, json={"email": email.upper(), "role": "viewer"})
        assert again.json()["user_id"] == ann["user_id"]
        assert owner.get(MEMBERS).json()["items"] == [ann]
        with psycopg.connect(url) as connection:
            rows = connection.execute("SELECT password_hash FROM users WHERE email = %s", (email.lower(),)).fetchall()
        assert rows == [(None,)]

    def test_each_act_is_answered_again_and_done_once(self, owner: httpx.Client) -> None:
        wanted = {"email": f"{uuid4()}@example.org", "role": "viewer"}
        keys = [{"Idempotency-Key": str(uuid4())} for _ in range(3)]
        invited = [owner.post(MEMBERS, json=wanted, headers=keys[0]) for _ in range(2)]
        assert [(one.status_code, one.json()) for one in invited] == [(201, invited[0].json())] * 2
        path = f"{MEMBERS}/{invited[0].json()['user_id']}"
        changed = [owner.patch(path, json={"role": "reviewer"}, headers=keys[1]) for _ in range(2)]
        assert [(one.status_code, one.json()["role"]) for one in changed] == [(200, "reviewer")] * 2
        removed = [owner.delete(path, headers=keys[2]) for _ in range(2)]
        assert [(one.status_code, one.content) for one in removed] == [(204, b"")] * 2
        problem(owner.delete(path), 404, "no_such_member")
        assert [act["action"] for act in acts(owner)] == ["member.removed", "member.role_changed", "member.added"]

    def test_whether_somebody_was_known_before_is_not_said(
        self, owner: httpx.Client, other: httpx.Client, url: str
    ) -> None:
        known, new = f"{uuid4()}@example.org", f"{uuid4()}@example.org"
        theirs = other.post(MEMBERS, json={"email": known, "name": "Dr. Ann Secret", "role": "viewer"}).json()
        execute(url, "UPDATE users SET disabled_at = now() WHERE id = %s", theirs["user_id"])
        for given in ({}, {"name": "WhoIsIt"}):
            wanted = [{"email": email, "role": "viewer", **given} for email in (known, new)]
            answers = [owner.post(MEMBERS, json=one) for one in wanted]
            assert [answer.status_code for answer in answers] == [201, 201]
            for answer, email in zip(answers, (known, new), strict=True):
                shown = answer.json()
                assert (shown["email"], shown["name"]) == (email, given.get("name", email))
                assert (shown["accepted_at"], shown["disabled_at"]) == (None, None)
                assert UUID(shown["user_id"]).version == 4, "a time in it would say since when"
                assert shown in owner.get(MEMBERS).json()["items"]
                assert owner.patch(f"{MEMBERS}/{shown['user_id']}", json={"role": "viewer"}).json() == shown
                assert owner.delete(f"{MEMBERS}/{shown['user_id']}").status_code == 204

    def test_who_has_come_is_known(self, owner: httpx.Client, other: httpx.Client, url: str) -> None:
        email = f"{uuid4()}@example.org"
        other.post(MEMBERS, json={"email": email, "name": "Ann", "role": "viewer"})
        invited = owner.post(MEMBERS, json={"email": email, "role": "viewer"}).json()
        come(url, invited)
        execute(url, "UPDATE users SET disabled_at = now() WHERE email = %s", email)
        (shown,) = owner.get(MEMBERS).json()["items"]
        assert (shown["name"], bool(shown["accepted_at"]), bool(shown["disabled_at"])) == ("Ann", True, True)

    def test_who_is_a_member_already_keeps_their_role(self, owner: httpx.Client) -> None:
        ann = member(owner, "viewer")
        answer = owner.post(MEMBERS, json={"email": ann["email"], "role": "owner"})
        assert problem(answer, 409, "already_a_member")["user_id"] == ann["user_id"]
        assert owner.get(MEMBERS).json()["items"][0]["role"] == "viewer"

    @pytest.mark.parametrize("role", list(Role))
    def test_an_admin_gives_and_takes_every_role_but_the_owners(
        self, owner: httpx.Client, admin: httpx.Client, role: Role
    ) -> None:
        if role is Role.OWNER:
            answer = admin.post(MEMBERS, json={"email": f"{uuid4()}@example.org", "role": role})
            problem(answer, 403, "more_than_own")
            chief, _ = member(owner, "owner"), member(owner, "owner")
            problem(admin.patch(f"{MEMBERS}/{chief['user_id']}", json={"role": "viewer"}), 403, "more_than_own")
            problem(admin.delete(f"{MEMBERS}/{chief['user_id']}"), 403, "more_than_own")
            ann = member(owner, "admin")
            problem(admin.patch(f"{MEMBERS}/{ann['user_id']}", json={"role": "owner"}), 403, "more_than_own")
        else:
            ann = member(admin, "viewer")
            answer = admin.patch(f"{MEMBERS}/{ann['user_id']}", json={"role": role})
            assert (answer.status_code, answer.json()["role"]) == (200, role)
            assert admin.delete(f"{MEMBERS}/{ann['user_id']}").status_code == 204
            assert admin.get(MEMBERS).json()["items"] == []

    def test_a_key_that_only_manages_members_can_give_no_role(self, address: str, url: str, organization: UUID) -> None:
        with gateways.client_of(address, key_of(url, organization, {Permission.MEMBERS_MANAGE})) as narrow:
            answer = narrow.post(MEMBERS, json={"email": "x@example.org", "role": "viewer"})
            problem(answer, 403, "more_than_own")

    def test_the_last_owner_stays(self, owner: httpx.Client, url: str) -> None:
        first = member(owner, "owner")
        path = f"{MEMBERS}/{first['user_id']}"
        problem(owner.patch(path, json={"role": "admin"}), 409, "last_owner")
        problem(owner.delete(path), 409, "last_owner")
        assert owner.patch(path, json={"role": "owner"}).status_code == 200
        second = member(owner, "owner")
        for one in (first, second):
            come(url, one)
        with engine_of(url, pool_size=1) as engine, engine.begin() as connection:
            users.disable(connection, UUID(second["user_id"]))
        problem(owner.delete(path), 409, "last_owner")
        third = member(owner, "owner")
        problem(owner.delete(path), 409, "last_owner")
        come(url, third)
        assert owner.delete(path).status_code == 204

    def test_whether_an_invited_owner_is_disabled_is_not_told_by_what_is_refused(
        self, owner: httpx.Client, url: str
    ) -> None:
        first, second = member(owner, "owner"), member(owner, "owner")
        execute(url, "UPDATE users SET disabled_at = now() WHERE id = %s", second["user_id"])
        assert owner.delete(f"{MEMBERS}/{first['user_id']}").status_code == 204
        problem(owner.delete(f"{MEMBERS}/{second['user_id']}"), 409, "last_owner")

    def test_another_organizations_member_is_404_and_stays(self, owner: httpx.Client, other: httpx.Client) -> None:
        theirs = member(other, "viewer")
        for named in (theirs["user_id"], NOBODYS, "no-id"):
            problem(owner.patch(f"{MEMBERS}/{named}", json={"role": "viewer"}), 404, "no_such_member")
            problem(owner.delete(f"{MEMBERS}/{named}"), 404, "no_such_member")
        assert other.get(MEMBERS).json()["items"] == [theirs]

    @pytest.mark.parametrize(
        ("changed", "field"),
        [
            ({"email": "nobody"}, "body.email"),
            ({"email": "a@b\n"}, "body.email"),
            ({"email": "a\x00@example.org"}, "body.email"),
            ({"email": f"{'x' * 250}@example.org"}, "body.email"),
            ({"email": None}, "body.email"),
            ({"role": "god"}, "body.role"),
            ({"role": None}, "body.role"),
            ({"name": "a\x00"}, "body.name"),
            ({"password": "secret"}, "body.password"),
        ],
    )
    def test_an_invitation_that_is_not_as_it_should_be_is_told_where(
        self, owner: httpx.Client, changed: dict[str, object], field: str
    ) -> None:
        answer = owner.post(MEMBERS, json={"email": "ann@example.org", "role": "viewer", **changed})
        errors = problem(answer, 422, "invalid_request")["errors"]
        assert field in [error["field"] for error in errors]

    def test_pages_hold_each_member_once(self, owner: httpx.Client) -> None:
        ids = [member(owner, "viewer")["user_id"] for _ in range(3)]
        first = owner.get(MEMBERS, params={"limit": 2}).json()
        second = owner.get(MEMBERS, params={"limit": 2, "cursor": first["next_cursor"]}).json()
        assert [one["user_id"] for one in first["items"] + second["items"]] == ids[::-1]
        assert second["next_cursor"] is None

    def test_what_was_done_is_in_the_trail(self, owner: httpx.Client) -> None:
        ann = member(owner, "viewer")
        owner.patch(f"{MEMBERS}/{ann['user_id']}", json={"role": "operator"})
        owner.patch(f"{MEMBERS}/{ann['user_id']}", json={"role": "operator"})
        owner.delete(f"{MEMBERS}/{ann['user_id']}")
        trail = [act for act in acts(owner) if act["target"] == ann["user_id"]]
        assert [act["action"] for act in trail] == ["member.removed", "member.role_changed", "member.added"]
        assert trail[1]["details"] == {"email": ann["email"], "from": "viewer", "to": "operator"}


def member(api: httpx.Client, role: str) -> dict[str, Any]:
    answer = api.post(MEMBERS, json={"email": f"{uuid4()}@example.org", "role": role})
    assert answer.status_code == 201, answer.text
    body: dict[str, Any] = answer.json()
    return body


def come(url: str, member: dict[str, Any]) -> None:
    """Let everything that a person was invited to count as accepted."""
    execute(url, "UPDATE memberships SET accepted_at = now() WHERE user_id = %s", member["user_id"])


class TestOrganization:
    def test_it_shows_ones_own(self, owner: httpx.Client, other: httpx.Client, organization: UUID) -> None:
        mine, theirs = owner.get(ORGANIZATION).json(), other.get(ORGANIZATION).json()
        assert mine["id"] == str(organization) != theirs["id"]
        assert (mine["duplicate_policy"], mine["max_upload_bytes"]) == ("warn", None)

    def test_name_and_policy_are_changed_and_the_change_is_noted(
        self, owner: httpx.Client, other: httpx.Client
    ) -> None:
        name, theirs = f"new name {uuid4()}", other.get(ORGANIZATION).json()
        answer = owner.patch(ORGANIZATION, json={"name": name, "duplicate_policy": "refuse"})
        assert answer.status_code == 200, answer.text
        assert owner.get(ORGANIZATION).json() == answer.json()
        assert (answer.json()["name"], answer.json()["duplicate_policy"]) == (name, "refuse")
        assert other.get(ORGANIZATION).json() == theirs
        owner.patch(ORGANIZATION, json={"duplicate_policy": "refuse"})
        (act,) = acts(owner)
        assert act["action"] == "organization.changed"
        assert act["details"]["duplicate_policy"] == {"from": "warn", "to": "refuse"}

    @pytest.mark.parametrize(
        "changed",
        [
            {"max_upload_bytes": 10**15},
            {"requests_per_minute": 10**9},
            {"id": NOBODYS},
            {"closed_at": None},
            {"name": ""},
            {"name": "a\x00"},
            {"name": NOBODYS},
            {"name": f" {{{NOBODYS}}} "},
            {"duplicate_policy": "maybe"},
        ],
    )
    def test_quotas_and_nonsense_are_refused(self, owner: httpx.Client, changed: dict[str, object]) -> None:
        before = owner.get(ORGANIZATION).json()
        problem(owner.patch(ORGANIZATION, json=changed), 422, "invalid_request")
        assert owner.get(ORGANIZATION).json() == before

    def test_a_name_that_is_taken_is_refused(self, owner: httpx.Client, other: httpx.Client) -> None:
        taken = other.get(ORGANIZATION).json()["name"]
        for name in (taken, taken.upper(), f" {taken.title()} "):
            problem(owner.patch(ORGANIZATION, json={"name": name}), 409, "name_taken")

    def test_a_name_may_change_its_case(self, owner: httpx.Client) -> None:
        name = owner.get(ORGANIZATION).json()["name"].upper()
        assert owner.patch(ORGANIZATION, json={"name": name}).json()["name"] == name


class TestActs:
    def test_pages_hold_each_act_once_the_newest_first(self, admin: httpx.Client) -> None:
        names = [made(admin, name=f"key {number}")["name"] for number in range(5)]
        found, cursor = [], None
        while True:
            page = admin.get(ACTS, params={"limit": 2} | ({"cursor": cursor} if cursor else {})).json()
            found += [act["details"]["name"] for act in page["items"]]
            cursor = page["next_cursor"]
            if cursor is None:
                break
        assert found == names[::-1]

    def test_an_act_says_who_and_how(self, admin: httpx.Client) -> None:
        key = made(admin)
        (act,) = acts(admin)
        assert (act["action"], act["target"]) == ("key.made", key["id"])
        assert (act["actor_kind"], act["actor_name"], act["way"]) == ("key", "tests", "api")
        assert act["address"] == "127.0.0.1"
        assert act["correlation_id"]
        assert act["details"]["scopes"] == key["scopes"]

    def test_other_organizations_acts_are_not_there(self, admin: httpx.Client, other: httpx.Client) -> None:
        made(other)
        assert acts(admin) == []

    def test_those_on_one_upload_alone(self, owner: httpx.Client, other: httpx.Client) -> None:
        wanted = {"record_type": "member_certification", "filename": "members.csv", "size_bytes": 3}
        place = owner.post("/api/v1/batch_uploads/presigned_url", json=wanted).json()
        httpx.put(place["url"], content=b"abc")
        owner.post("/api/v1/batch_uploads", json={"upload_id": place["upload_id"]})
        assert owner.post(f"/api/v1/batch_uploads/{place['upload_id']}/cancel").status_code == 202
        made(owner)
        found = owner.get(f"/api/v1/batch_uploads/{place['upload_id']}/acts").json()["items"]
        assert found
        assert {act["upload_id"] for act in found} == {place["upload_id"]}
        assert owner.get(ACTS, params={"upload_id": place["upload_id"]}).json()["items"] == found
        problem(other.get(f"/api/v1/batch_uploads/{place['upload_id']}/acts"), 404, "no_such_upload")
        assert other.get(ACTS, params={"upload_id": place["upload_id"]}).json()["items"] == []
        problem(owner.get(f"/api/v1/batch_uploads/{new_id()}/acts"), 404, "no_such_upload")

    def test_a_cursor_of_another_list_is_refused(self, admin: httpx.Client) -> None:
        problem(admin.get(ACTS, params={"cursor": "no cursor"}), 422, "invalid_cursor")
