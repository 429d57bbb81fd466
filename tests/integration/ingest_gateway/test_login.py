"""People log in, stay logged in and log out, on a real gateway and a real database."""

import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import psycopg
import pytest
from argon2 import PasswordHasher

from rowstream.database import sessions
from rowstream.runtime.secrets import read, rotated, write
from tests import gateways, people, servers
from tests.engines import engine_of
from tests.people import PASSWORD, bearer, log_in, make_person

UPLOADS = "/api/v1/batch_uploads"


@pytest.fixture(scope="module")
def secrets_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("secrets")


@pytest.fixture(scope="module")
def address(url: str, object_store: servers.Server, secrets_file: Path) -> Iterator[str]:
    storage = servers.storage_settings(object_store)
    settings, _ = people.settings_with_secrets(url, storage, secrets_file, access={"attempts_an_address": 10_000})
    with gateways.serving(settings) as address:
        yield address


@pytest.fixture
def api(address: str) -> Iterator[httpx.Client]:
    with gateways.client_of(address, None) as client:
        yield client


def session_of(api: httpx.Client, email: str, **more: str) -> dict[str, Any]:
    answer = log_in(api, email, PASSWORD, **more)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def refused(answer: httpx.Response, status: int, kind: str) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    body: dict[str, Any] = answer.json()
    assert body["type"] == f"urn:rowstream:problem:{kind}"
    return body


def ask(api: httpx.Client, token: str) -> int:
    return api.get(UPLOADS, headers=bearer(token)).status_code


def refresh(api: httpx.Client, token: str) -> httpx.Response:
    return api.post("/auth/refresh", json={"refresh_token": token})


def execute(url: str, statement: str, *values: object) -> list[tuple[Any, ...]]:
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(statement.encode(), values)
        return cursor.fetchall() if cursor.description else []


def acts_of(url: str, session: dict[str, Any]) -> list[str]:
    query = "SELECT action FROM acts WHERE target = ANY(%s) ORDER BY id"
    return [row[0] for row in execute(url, query, [session["session_id"], session["user"]["id"]])]


class TestLogIn:
    def test_the_right_password_gives_two_tokens_and_says_who_one_is(self, api: httpx.Client, url: str) -> None:
        email = make_person(url, "viewer")
        answer = log_in(api, email)
        session = answer.json()
        assert answer.status_code == 200
        assert answer.headers["cache-control"] == "no-store"
        assert (session["token_type"], session["expires_in"]) == ("Bearer", 600)
        assert (session["user"]["email"], session["role"]) == (email, "viewer")
        assert session["organization"]["name"] == "default"
        assert 43_100 < session["refresh_expires_in"] <= 43_200
        assert ask(api, session["access_token"]) == 200
        assert acts_of(url, session) == ["session.opened"]

    def test_no_token_is_stored(self, api: httpx.Client, url: str) -> None:
        session = session_of(api, make_person(url))
        stored = str(execute(url, "SELECT t::text, u::text FROM refresh_tokens t JOIN users u ON u.id = user_id"))
        assert session["session_id"] in stored
        assert session["refresh_token"] not in stored
        assert session["access_token"] not in stored

    def test_the_role_of_this_moment_says_what_one_may(self, api: httpx.Client, url: str) -> None:
        session = session_of(api, make_person(url, "viewer"))
        wanted = {"record_type": "member_certification", "filename": "a.csv", "size_bytes": 1}
        presign = f"{UPLOADS}/presigned_url"
        refused(api.post(presign, json=wanted, headers=bearer(session["access_token"])), 403, "forbidden")
        execute(url, "UPDATE memberships SET role = 'operator' WHERE user_id = %s", session["user"]["id"])
        made = api.post(presign, json=wanted, headers=bearer(session["access_token"]))
        assert made.status_code == 201
        execute(url, "DELETE FROM memberships WHERE user_id = %s", session["user"]["id"])
        assert ask(api, session["access_token"]) == 401
        refused(refresh(api, session["refresh_token"]), 401, "invalid_refresh_token")

    @pytest.mark.parametrize("spelling", [str.upper, str.title, "  {} ".format])
    def test_an_address_may_be_spelled_in_any_way(self, api: httpx.Client, url: str, spelling: Any) -> None:
        assert log_in(api, spelling(make_person(url))).status_code == 200

    def test_nobody_learns_who_has_an_account(self, api: httpx.Client, url: str) -> None:
        disabled, without = make_person(url), make_person(url, password_hash=None)
        execute(url, "UPDATE users SET disabled_at = now() WHERE email = %s", disabled)
        tried = [(make_person(url), "not the password"), (disabled, PASSWORD), (without, PASSWORD), ("n@o.net", "x")]
        answers = [log_in(api, *each) for each in tried]
        bodies = [{**refused(one, 401, "wrong_credentials"), "correlation_id": ""} for one in answers]
        assert all(body == bodies[0] for body in bodies)
        assert {one.headers["www-authenticate"] for one in answers} == {'Bearer realm="rowstream"'}

    def test_where_there_is_no_account_as_much_is_hashed(
        self, api: httpx.Client, url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        parameters: list[str] = []
        verify = PasswordHasher.verify

        def noting(self: PasswordHasher, password_hash: str, password: str) -> bool:
            parameters.append(password_hash.rpartition("$")[0].rpartition("$")[0])
            return verify(self, password_hash, password)

        monkeypatch.setattr(PasswordHasher, "verify", noting)
        for email in (make_person(url), make_person(url, password_hash=None), "nobody@example.org"):
            log_in(api, email, "some other password")
        assert parameters == ["$argon2id$v=19$m=19456,t=2,p=1"] * 3

    def test_a_hash_with_other_parameters_is_made_anew(self, api: httpx.Client, url: str) -> None:
        old = PasswordHasher(time_cost=1, memory_cost=1024, parallelism=1).hash(PASSWORD)
        email = make_person(url, password_hash=old)
        log_in(api, email, "not the password")
        assert execute(url, "SELECT password_hash FROM users WHERE email = %s", email) == [(old,)]
        session_of(api, email)
        ((new,),) = execute(url, "SELECT password_hash FROM users WHERE email = %s", email)
        assert new.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
        session_of(api, email)

    def test_who_is_in_several_organizations_names_one(self, api: httpx.Client, url: str) -> None:
        email = make_person(url, "viewer")
        other = servers.make_organization(url, f"other of {email}")
        people.join(url, email, "owner", other)
        refused(log_in(api, email, "not the password"), 401, "wrong_credentials")
        listed = refused(log_in(api, email), 409, "organization_not_named")["organizations"]
        assert [(one["name"], one["role"]) for one in listed] == [("default", "viewer"), (f"other of {email}", "owner")]
        by_id = session_of(api, email, organization=str(other))
        by_name = session_of(api, email, organization=f"other of {email}")
        assert by_id["organization"] == by_name["organization"] == {"id": str(other), "name": f"other of {email}"}
        assert by_id["role"] == "owner"
        refused(log_in(api, email, organization="nobody's"), 403, "no_membership")
        execute(url, "UPDATE organizations SET closed_at = now() WHERE id = %s", other)
        assert session_of(api, email)["organization"]["name"] == "default"
        assert ask(api, by_id["access_token"]) == 401
        refused(refresh(api, by_id["refresh_token"]), 401, "invalid_refresh_token")

    def test_an_invitation_changes_nothing_about_how_one_logs_in(self, api: httpx.Client, url: str) -> None:
        email = make_person(url, "viewer")
        name = f"stranger to {email}"
        people.join(url, email, "owner", servers.make_organization(url, name), accepted=False)
        assert session_of(api, email)["organization"]["name"] == "default"
        assert session_of(api, email, organization=name)["organization"]["name"] == name
        listed = refused(log_in(api, email), 409, "organization_not_named")["organizations"]
        assert [one["name"] for one in listed] == ["default", name]

    def test_who_is_only_invited_names_nothing_and_accepts(self, api: httpx.Client, url: str) -> None:
        email = make_person(url)
        execute(url, "UPDATE memberships SET accepted_at = NULL FROM users WHERE user_id = id AND email = %s", email)
        assert session_of(api, email)["organization"]["name"] == "default"
        people.join(url, email, "owner", servers.make_organization(url, f"stranger to {email}"), accepted=False)
        assert session_of(api, email)["organization"]["name"] == "default"

    def test_who_is_in_no_organization_is_told_so(self, api: httpx.Client, url: str) -> None:
        email = make_person(url)
        execute(url, "DELETE FROM memberships USING users WHERE user_id = id AND email = %s", email)
        assert refused(log_in(api, email), 403, "no_membership")["organizations"] == []

    def test_a_session_sees_its_own_organization_alone(self, api: httpx.Client, url: str) -> None:
        other = servers.make_organization(url, f"another {UUID(int=1)}")
        mine, theirs = make_person(url), make_person(url, organization_id=other)
        wanted = {"record_type": "member_certification", "filename": "a.csv", "size_bytes": 1}
        tokens = [bearer(session_of(api, email)["access_token"]) for email in (mine, theirs)]
        made = api.post(f"{UPLOADS}/presigned_url", json=wanted, headers=tokens[0]).json()["upload_id"]
        shown = api.get(f"{UPLOADS}/{made}", headers=tokens[0]).json()
        assert (shown["created_by"], shown["source_type"]) == (mine, "api")
        assert api.get(f"{UPLOADS}/{made}", headers=tokens[1]).status_code == 404

    @pytest.mark.parametrize(
        "changed",
        [
            {"email": None},
            {"email": ""},
            {"email": "x" * 255},
            {"password": ""},
            {"password": "x" * 257},
            {"password": ["x"]},
            {"organization": ""},
            {"organization": "\x00"},
            {"more": 1},
        ],
    )
    def test_a_request_that_is_none_shows_nothing_of_itself(self, api: httpx.Client, changed: dict[str, Any]) -> None:
        body = {"email": "a@b.c", "password": "canary-9f2", **changed}
        answer = api.post("/auth/login", json=body)
        refused(answer, 422, "invalid_request")
        assert "canary" not in answer.text

    @pytest.mark.parametrize("text", ["\x00", "\x00a@b.c", "a@b.c\ud800", "☃@example.org", "' OR 1=1 --"])
    def test_a_hostile_address_is_nobodys(self, api: httpx.Client, text: str) -> None:
        body = json.dumps({"email": text, "password": text + "x"}).encode()
        answer = api.post("/auth/login", content=body, headers={"Content-Type": "application/json"})
        assert answer.status_code in {401, 422}, answer.text


def test_neither_a_password_nor_a_token_is_logged(
    api: httpx.Client, url: str, capfd: pytest.CaptureFixture[str]
) -> None:
    email = make_person(url)
    session = session_of(api, email)
    log_in(api, email, "canary of a wrong password")
    ask(api, session["access_token"])
    ask(api, session["access_token"][:-4] + "AAAA")
    refresh(api, session["refresh_token"])
    refresh(api, session["refresh_token"])
    said = "".join(capfd.readouterr())
    assert said.count("/auth/login") >= 2  # a request is logged behind its answer: one of the test before may be here
    assert "a refresh token was used twice" in said
    secrets = [PASSWORD, "canary", session["refresh_token"], *session["access_token"].split(".")[1:]]
    assert not [secret for secret in secrets if secret in said]


def tries_until_refused(attempt: Callable[[int], httpx.Response]) -> tuple[int, float, httpx.Response]:
    """How many tries were answered before one was refused as too many, in how many seconds, and the refusal."""
    begun = time.monotonic()
    for number in range(1_000):
        answer = attempt(number)
        if answer.status_code == 429:
            return number, time.monotonic() - begun, answer
        assert answer.status_code in {401, 403}, answer.text
    raise AssertionError("nothing was refused")


class TestTooMany:
    def test_one_account_is_tried_ten_times_and_others_go_on(self, api: httpx.Client, url: str) -> None:
        victim, other = make_person(url), make_person(url)
        tries, seconds, answer = tries_until_refused(lambda number: log_in(api, victim, f"guess {number}"))
        assert 10 <= tries <= 10 + seconds / 60
        refused(answer, 429, "too_many_log_ins")
        assert 1 <= int(answer.headers["retry-after"]) <= 60
        assert log_in(api, other).status_code == 200

    def test_the_right_password_waits_too_however_the_address_is_spelled(self, api: httpx.Client, url: str) -> None:
        victim = make_person(url)
        for _ in range(20):
            tries_until_refused(lambda number: log_in(api, victim, f"guess {number}"))
            answer = log_in(api, victim.upper())
            if answer.status_code == 429:
                return
        pytest.fail("it was never refused")

    def test_a_log_in_that_succeeds_does_not_count(self, api: httpx.Client, url: str) -> None:
        email = make_person(url)
        assert [log_in(api, email).status_code for _ in range(15)] == [200] * 15
        tries, seconds, _ = tries_until_refused(lambda number: log_in(api, email, f"guess {number}"))
        assert 10 <= tries <= 10 + seconds / 60

    def test_an_account_that_is_none_is_slowed_as_well(self, api: httpx.Client) -> None:
        tries, seconds, _ = tries_until_refused(lambda _: log_in(api, "no-such@example.org", "x"))
        assert 10 <= tries <= 10 + seconds / 60

    def test_of_an_address_failures_count(self, url: str, object_store: servers.Server, tmp_path: Path) -> None:
        storage = servers.storage_settings(object_store)
        settings, _ = people.settings_with_secrets(url, storage, tmp_path, access={"attempts_an_address": 3})
        email = make_person(url)
        with gateways.serving(settings) as address, gateways.client_of(address, None) as api:
            assert [log_in(api, email).status_code for _ in range(5)] == [200] * 5
            tries, seconds, _ = tries_until_refused(lambda number: log_in(api, f"{number}@example.org", "x"))
            assert 3 <= tries <= 3 + seconds / 20


class TestRefresh:
    def test_each_token_gives_the_next_pair(self, api: httpx.Client, url: str) -> None:
        first = session_of(api, make_person(url))
        second = refresh(api, first["refresh_token"]).json()
        third = refresh(api, second["refresh_token"]).json()
        assert len({one["refresh_token"] for one in (first, second, third)}) == 3
        assert len({one["access_token"] for one in (first, second, third)}) == 3
        assert {one["session_id"] for one in (first, second, third)} == {first["session_id"]}
        assert ask(api, first["access_token"]) == 200, "it goes on to its own end"
        assert ask(api, third["access_token"]) == 200

    def test_a_token_that_comes_twice_ends_the_session(self, api: httpx.Client, url: str) -> None:
        email = make_person(url)
        first, other = session_of(api, email), session_of(api, email)
        second = refresh(api, first["refresh_token"]).json()
        refused(refresh(api, first["refresh_token"]), 401, "invalid_refresh_token")
        refused(refresh(api, second["refresh_token"]), 401, "invalid_refresh_token")
        assert ask(api, first["access_token"]) == 401
        assert ask(api, second["access_token"]) == 401
        assert acts_of(url, first).count("session.reuse_detected") == 1
        assert ask(api, other["access_token"]) == 200, "another session of the same person goes on"
        assert refresh(api, other["refresh_token"]).status_code == 200

    def test_of_two_at_once_one_wins_and_the_session_ends(self, api: httpx.Client, url: str) -> None:
        for _ in range(5):
            first = session_of(api, make_person(url))
            with ThreadPoolExecutor(4) as threads:
                answers = list(threads.map(lambda token: refresh(api, token), [first["refresh_token"]] * 4))
            assert sorted(answer.status_code for answer in answers) == [200, 401, 401, 401]
            (won,) = (answer.json() for answer in answers if answer.status_code == 200)
            refused(refresh(api, won["refresh_token"]), 401, "invalid_refresh_token")
            assert ask(api, won["access_token"]) == 401

    @pytest.mark.parametrize("token", ["rsr_", "x", "\x00", "☃", "rsr_" + "A" * 43])
    def test_what_is_no_token_is_refused(self, api: httpx.Client, token: str) -> None:
        refused(refresh(api, token), 401, "invalid_refresh_token")
        assert api.post("/auth/logout", json={"refresh_token": token}).status_code == 204

    def test_an_access_token_does_not_refresh_nor_a_refresh_token_ask(self, api: httpx.Client, url: str) -> None:
        session = session_of(api, make_person(url))
        assert ask(api, session["refresh_token"]) == 401
        assert refresh(api, session["access_token"]).status_code in {401, 422}

    def test_a_session_ends_unused_and_in_any_case(self, api: httpx.Client, url: str) -> None:
        idle, old = (session_of(api, make_person(url)) for _ in range(2))
        execute(
            url, "UPDATE refresh_tokens SET expires_at = clock_timestamp() WHERE family_id = %s", idle["session_id"]
        )
        refused(refresh(api, idle["refresh_token"]), 401, "invalid_refresh_token")
        execute(
            url,
            "UPDATE refresh_tokens SET created_at = created_at - interval '604000 seconds' WHERE family_id = %s",
            old["session_id"],
        )
        last = refresh(api, old["refresh_token"]).json()
        assert 0 <= last["refresh_expires_in"] <= 800

    def test_old_sessions_are_forgotten_as_a_whole(self, api: httpx.Client, url: str) -> None:
        gone, used = (session_of(api, make_person(url)) for _ in range(2))
        kept = refresh(api, used["refresh_token"]).json()
        execute(
            url,
            "UPDATE refresh_tokens SET expires_at = now() - interval '2 hours'"
            " WHERE used_at IS NOT NULL OR family_id = %s",
            gone["session_id"],
        )
        with engine_of(url, role="rowstream_keys") as engine, engine.begin() as connection:
            assert sessions.sweep(connection) >= 1
        left = {str(row[0]) for row in execute(url, "SELECT family_id FROM refresh_tokens")}
        assert gone["session_id"] not in left
        refused(refresh(api, used["refresh_token"]), 401, "invalid_refresh_token")
        refused(refresh(api, kept["refresh_token"]), 401, "invalid_refresh_token")


class TestLogOut:
    def test_it_ends_this_session(self, api: httpx.Client, url: str) -> None:
        email = make_person(url)
        one, other = session_of(api, email), session_of(api, email)
        for _ in range(2):
            assert api.post("/auth/logout", json={"refresh_token": one["refresh_token"]}).status_code == 204
        assert ask(api, one["access_token"]) == 401
        refused(refresh(api, one["refresh_token"]), 401, "invalid_refresh_token")
        assert ask(api, other["access_token"]) == 200
        assert acts_of(url, one).count("session.closed") == 1

    def test_everywhere_ends_all_and_one_may_come_back_at_once(self, api: httpx.Client, url: str) -> None:
        email = make_person(url)
        before = [session_of(api, email) for _ in range(3)]
        strangers = session_of(api, make_person(url))
        left = api.post("/auth/logout_everywhere", headers=bearer(before[0]["access_token"]))
        assert left.status_code == 204
        assert [ask(api, one["access_token"]) for one in before] == [401] * 3
        assert [refresh(api, one["refresh_token"]).status_code for one in before] == [401] * 3
        assert ask(api, strangers["access_token"]) == 200
        assert ask(api, session_of(api, email)["access_token"]) == 200
        assert "sessions.closed" in acts_of(url, before[0])

    def test_it_is_for_people(self, api: httpx.Client, url: str) -> None:
        key = bearer(gateways.new_key(url))
        refused(api.post("/auth/logout_everywhere", headers=key), 403, "for_people_only")
        refused(api.post("/auth/logout_everywhere"), 401, "unauthorized")

    def test_a_disabled_person_is_out_at_once(self, api: httpx.Client, url: str) -> None:
        session = session_of(api, make_person(url))
        execute(url, "UPDATE users SET disabled_at = now() WHERE id = %s", session["user"]["id"])
        assert ask(api, session["access_token"]) == 401
        refused(refresh(api, session["refresh_token"]), 401, "invalid_refresh_token")


class TestPassword:
    NEW = "another horse, another battery"

    def change(self, api: httpx.Client, session: dict[str, Any], current: str, new: str) -> httpx.Response:
        body = {"current_password": current, "new_password": new}
        return api.post("/auth/password", json=body, headers=bearer(session["access_token"]))

    def test_the_new_one_holds_and_other_sessions_end(self, api: httpx.Client, url: str) -> None:
        email = make_person(url)
        mine, other = session_of(api, email), session_of(api, email)
        assert self.change(api, mine, PASSWORD, self.NEW).status_code == 204
        assert (ask(api, mine["access_token"]), ask(api, other["access_token"])) == (200, 401)
        assert refresh(api, mine["refresh_token"]).status_code == 200
        refused(refresh(api, other["refresh_token"]), 401, "invalid_refresh_token")
        refused(log_in(api, email), 401, "wrong_credentials")
        assert log_in(api, email, self.NEW).status_code == 200
        assert "password.changed" in acts_of(url, mine)

    def test_it_takes_the_present_one(self, api: httpx.Client, url: str) -> None:
        session = session_of(api, make_person(url))
        refused(self.change(api, session, "not this one", self.NEW), 403, "wrong_password")
        tries, _, _ = tries_until_refused(lambda number: self.change(api, session, f"guess {number}", self.NEW))
        assert tries >= 8, "one more was the log-in, one the try above"

    def test_one_that_is_easy_to_guess_is_refused(self, api: httpx.Client, url: str) -> None:
        email = make_person(url)
        session = session_of(api, email)
        for new in ("password1234", f"{email.partition('@')[0]}-1990"):
            refused(self.change(api, session, PASSWORD, new), 422, "unfit_password")

    @pytest.mark.parametrize("new", ["short", "x" * 11, "x" * 257, "e\u0301" * 11, ""])
    def test_one_that_is_too_short_or_too_long_is_refused(self, api: httpx.Client, url: str, new: str) -> None:
        session = session_of(api, make_person(url))
        assert self.change(api, session, PASSWORD, new).status_code == 422

    def test_a_letter_may_be_typed_in_two_ways(self, api: httpx.Client, url: str) -> None:
        email = make_person(url)
        session = session_of(api, email)
        assert self.change(api, session, PASSWORD, "caf\u00e9 au lait, sans sucre").status_code == 204
        assert log_in(api, email, "cafe\u0301 au lait, sans sucre").status_code == 200


class TestKeys:
    def test_the_keys_are_shown_without_their_private_part(self, api: httpx.Client, secrets_file: Path) -> None:
        shown = api.get("/.well-known/jwks.json").json()
        assert shown == read(secrets_file / "secrets.json").public()
        assert shown["keys"][0].keys() == {"kty", "crv", "x", "use", "alg", "kid"}

    def test_a_rotation_ends_nothing_until_the_old_key_is_dropped(
        self, api: httpx.Client, url: str, secrets_file: Path
    ) -> None:
        path = secrets_file / "secrets.json"
        before = session_of(api, make_person(url))
        write(path, rotated(read(path), keep=1))
        assert len(api.get("/.well-known/jwks.json").json()["keys"]) == 2
        assert ask(api, before["access_token"]) == 200
        write(path, rotated(read(path), keep=0))
        assert ask(api, before["access_token"]) == 401
        after = refresh(api, before["refresh_token"]).json()
        assert ask(api, after["access_token"]) == 200

    def test_without_a_file_nobody_logs_in_and_keys_go_on(self, url: str, object_store: servers.Server) -> None:
        settings = gateways.gateway_settings(url, servers.storage_settings(object_store))
        email = make_person(url)
        with gateways.serving(settings) as address, gateways.client_of(address, None) as api:
            for answer in (log_in(api, email), refresh(api, "rsr_x"), api.get("/.well-known/jwks.json")):
                assert "ROWSTREAM_ACCESS__SECRETS_FILE" in refused(answer, 503, "no_secrets_file")["detail"]
            assert ask(api, "a.b.c") == 401
            assert ask(api, gateways.new_key(url)) == 200
