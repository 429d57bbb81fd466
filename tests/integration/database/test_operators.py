"""`rowstream org`, `user` and `key` on a real database: what they do holds at once, and is in the trail of acts."""

import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from unittest import mock
from uuid import UUID

import pytest
from sqlalchemy import Engine, select

from rowstream.database import keys, organizations, sessions, users
from rowstream.database.access_tables import acts
from rowstream.database.sessions import Lifetimes
from rowstream.runtime import secrets
from rowstream.runtime.passwords import is_right
from rowstream.stack.addresses import Addresses
from rowstream.stack.state_dir import StateDir
from tests.engines import engine_of
from tests.unit.cli.support import Result, run

NOBODYS = "019c2f6e-5d1b-7cc3-98c4-dc0c0c07398f"
PASSWORD = "correct horse battery staple"  # noqa: S105 - of nobody


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    with engine_of(database_url, pool_size=1) as engine:
        yield engine


def command(url: str, *arguments: str, stdin: str = "", **environment: str) -> Result:
    with mock.patch.object(sys, "stdin", io.StringIO(stdin)):
        return run(*arguments, ROWSTREAM_DATABASE__URL=url, **environment)


def done(url: str, *arguments: str, **more: str) -> dict[str, object]:
    """The JSON answer of a command that succeeds."""
    result = command(url, *arguments, "--json", **more)
    assert result.code == 0, result.err
    answer: dict[str, object] = json.loads(result.out)
    return answer


def trail(engine: Engine, organization: object) -> list[tuple[str, str, str]]:
    with engine.connect() as connection:
        query = select(acts.c.action, acts.c.way, acts.c.actor_kind).where(acts.c.organization_id == organization)
        return [tuple(row) for row in connection.execute(query.order_by(acts.c.id))]


class Terminal(io.StringIO):
    """Standard input of somebody who sits there."""

    def isatty(self) -> bool:
        return True


def system_on(folder: Path, url: str, key: str) -> None:
    """Let a system be running on a state folder, as far as commands see."""
    system = Addresses(gateway="", broker="", database=url, storage="", bucket="", api_key=key, metrics={})
    system.save(StateDir(folder))


class TestOrganizations:
    def test_one_is_made_shown_changed_closed_and_opened(self, database_url: str, engine: Engine) -> None:
        made = done(database_url, "org", "create", "Acme Ltd", "--max-open-uploads", "5")
        assert (made["name"], made["max_open_uploads"], made["duplicate_policy"]) == ("Acme Ltd", 5, "warn")
        changed = done(
            database_url, "org", "set", "Acme Ltd", "--duplicate-policy", "refuse", "--max-open-uploads", "none"
        )
        assert (changed["duplicate_policy"], changed["max_open_uploads"]) == ("refuse", None)
        assert done(database_url, "org", "show", str(made["id"])) == changed
        assert done(database_url, "org", "close", "Acme Ltd", "--yes")["closed_at"]
        assert done(database_url, "org", "set", "Acme Ltd", "--reopen")["closed_at"] is None
        listed = json.loads(command(database_url, "org", "list", "--json").out)["items"]
        assert [one["name"] for one in listed] == ["Acme Ltd", "default"]
        ways = {("command", "system")}
        assert {(way, kind) for _, way, kind in trail(engine, made["id"])} == ways
        assert [action for action, *_ in trail(engine, made["id"])] == [
            "organization.made",
            "organization.changed",
            "organization.closed",
            "organization.changed",
        ]

    def test_the_keys_of_a_closed_one_are_refused(self, database_url: str, engine: Engine) -> None:
        done(database_url, "org", "create", "Acme Ltd")
        key = done(database_url, "key", "create", "a key", "--organization", "Acme Ltd")["key"]
        with engine.connect() as connection:
            assert keys.holder_of(connection, str(key))
        done(database_url, "org", "close", "Acme Ltd", "--yes")
        with engine.connect() as connection:
            assert keys.holder_of(connection, str(key)) is None
        refused = command(database_url, "key", "create", "another", "--organization", "Acme Ltd")
        assert (refused.code, refused.out) == (1, "")
        assert "is closed" in refused.err

    def test_where_nobody_can_be_asked_none_is_closed_without_yes(self, database_url: str, tmp_path: Path) -> None:
        key = str(done(database_url, "key", "create", "of the commands")["key"])
        system_on(tmp_path, database_url, key)
        close = "org", "close", "default", "--state-dir", str(tmp_path)
        refused = command(database_url, *close)
        assert (refused.code, refused.out) == (2, "")
        assert "its keys, 1 of them valid now" in refused.err
        assert f"the key of the commands on {tmp_path}" in refused.err
        assert "--yes" in refused.err
        assert done(database_url, "org", "show", "default")["closed_at"] is None
        closed = command(database_url, *close, "--yes")
        assert (closed.code, "--reopen" in closed.out) == (0, True)
        assert command(database_url, *close).code == 0, "it is closed already"

    @pytest.mark.parametrize(("answer", "code"), [("y", 0), ("n", 1), ("", 1)])
    def test_somebody_at_a_terminal_is_asked(self, answer: str, code: int, database_url: str) -> None:
        with mock.patch.object(sys, "stdin", Terminal(f"{answer}\n")):
            result = run("org", "close", "default", ROWSTREAM_DATABASE__URL=database_url)
        assert result.code == code, result.err
        assert "Close it?" in result.err
        assert bool(done(database_url, "org", "show", "default")["closed_at"]) is (code == 0)

    @pytest.mark.parametrize(
        ("arguments", "code", "said"),
        [
            (("create", " "), 2, "needs a name"),
            (("create", "a\x1bb"), 2, "can be seen"),
            (("create", "default"), 1, "already"),
            (("create", "Default"), 1, "already"),
            (("create", "x", "--duplicate-policy", "maybe"), 2, "refuse, warn or allow"),
            (("set", "default", "--max-open-uploads", "0"), 2, "--max-open-uploads takes a number from 1"),
            (("set", "default", "--max-open-uploads", "9" * 5_000), 2, "takes a number"),
            (("set", "default", "--max-upload-bytes", "-1"), 2, "takes a number"),
            (("set", "default"), 2, "nothing is to be changed"),
            (("show", "nowhere"), 1, "there is no organization 'nowhere'"),
            (("close", NOBODYS), 1, "there is no organization"),
        ],
    )
    def test_what_cannot_be_is_said(self, arguments: tuple[str, ...], code: int, said: str, database_url: str) -> None:
        command(database_url, "org", "show", "default")
        refused = command(database_url, "org", *arguments)
        assert (refused.code, refused.out) == (code, "")
        assert said in refused.err


class TestUsers:
    def test_one_is_made_and_gets_a_password_that_is_shown_to_nobody(self, database_url: str, engine: Engine) -> None:
        made = done(database_url, "user", "create", "Ann@Example.org", "--role", "admin")
        assert (made["email"], made["role"], made["organization"]) == ("ann@example.org", "admin", "default")
        result = command(
            database_url, "user", "set-password", "ann@example.org", "--password-stdin", stdin=f"{PASSWORD}\n"
        )
        assert result.code == 0, result.err
        assert PASSWORD not in result.out + result.err
        with engine.connect() as connection:
            ann = users.find(connection, "ann@example.org")
        assert ann
        assert is_right(ann.password_hash or "", PASSWORD)
        listed = command(database_url, "user", "list", "--json").out
        assert str(ann.password_hash) not in listed
        (shown,) = json.loads(listed)["items"]
        assert [one["role"] for one in shown["organizations"]] == ["admin"]
        assert shown["has_password"]
        assert [action for action, *_ in trail(engine, keys.DEFAULT_ORGANIZATION)] == [
            "member.added",
            "password.changed",
        ]

    def test_a_new_password_ends_every_session(self, database_url: str, engine: Engine) -> None:
        ann = UUID(str(done(database_url, "user", "create", "ann@example.org")["id"]))
        with engine.begin() as connection:
            granted = sessions.open_session(
                connection, ann, keys.DEFAULT_ORGANIZATION, Lifetimes(idle=60, whole=60), address=None
            )
            assert sessions.standing(connection, granted.session, issued_at=granted.at)
        command(database_url, "user", "set-password", "ann@example.org", "--password-stdin", stdin=f"{PASSWORD}\n")
        with engine.connect() as connection:
            assert sessions.standing(connection, granted.session, issued_at=granted.at) is None

    def test_a_role_is_given_changed_and_taken(self, database_url: str, engine: Engine) -> None:
        done(database_url, "user", "create", "ann@example.org")
        made = done(database_url, "org", "create", "Acme Ltd")
        for role in ("viewer", "owner", "none"):
            result = command(database_url, "user", "set-role", "ann@example.org", role, "--organization", "Acme Ltd")
            if role == "none":
                assert (result.code, result.out) == (1, "")
                assert "last owner" in result.err
            else:
                assert result.code == 0
        done(database_url, "user", "create", "bob@example.org", "--role", "owner", "--organization", "Acme Ltd")
        done(database_url, "user", "set-role", "ann@example.org", "none", "--organization", "Acme Ltd")
        with engine.connect() as connection:
            ann = users.find(connection, "ann@example.org")
            assert ann
            assert [one.organization for one in users.memberships_of(connection, ann.id)] == ["default"]
        assert [action for action, *_ in trail(engine, made["id"])] == [
            "organization.made",
            "member.added",
            "member.role_changed",
            "member.added",
            "member.removed",
        ]

    def test_one_is_disabled_and_let_in_again(self, database_url: str, engine: Engine) -> None:
        done(database_url, "user", "create", "ann@example.org")
        for verb, disabled in (("disable", True), ("disable", True), ("enable", False)):
            done(database_url, "user", verb, "ANN@example.org")
            with engine.connect() as connection:
                ann = users.find(connection, "ann@example.org")
            assert ann
            assert bool(ann.disabled_at) is disabled
        noted = [action for action, *_ in trail(engine, keys.DEFAULT_ORGANIZATION)]
        assert noted == ["member.added", "user.disabled", "user.enabled"]

    @pytest.mark.parametrize(
        ("arguments", "stdin", "code", "said"),
        [
            (("create", "nobody"), "", 2, "no e-mail address"),
            (("create", "ann@example.org", "--role", "god"), "", 2, "'god' is no role; there are owner"),
            (("create", "ann@example.org", "--organization", "nowhere"), "", 1, "there is no organization"),
            (("create", "ann@example.org", "--password-stdin"), "short\n", 2, "12 to 256 characters"),
            (("set-password", "ann@example.org"), "", 2, "--password-stdin"),
            (("set-role", "ann@example.org", "god"), "", 2, "is no role"),
            (("set-role", "ann@example.org", "viewer"), "", 1, "there is no user ann@example.org"),
            (("disable", "ann@example.org"), "", 1, "there is no user ann@example.org"),
        ],
    )
    def test_what_cannot_be_is_said(
        self, arguments: tuple[str, ...], stdin: str, code: int, said: str, database_url: str, engine: Engine
    ) -> None:
        refused = command(database_url, "user", *arguments, stdin=stdin)
        assert (refused.code, refused.out) == (code, "")
        assert said in refused.err
        with engine.connect() as connection:
            assert list(users.every_user(connection)) == []


class TestKeys:
    def test_scopes_are_those_that_were_given(self, database_url: str, engine: Engine) -> None:
        key = done(database_url, "key", "create", "a key", "--scope", "uploads:read", "--scope", "errors:read")
        with engine.connect() as connection:
            holder = keys.holder_of(connection, str(key["key"]))
        assert holder
        assert holder.scopes == ("uploads:read", "errors:read")
        assert (key["scopes"], key["signed_only"]) == (["uploads:read", "errors:read"], False)
        assert (key["organization"], key["name"], key["state"]) == ("default", "a key", "valid")
        refused = command(database_url, "key", "create", "another", "--scope", "everything")
        assert (refused.code, refused.out) == (2, "")
        assert "there is no scope 'everything'" in refused.err

    def test_one_is_rotated_with_an_overlap(self, database_url: str, engine: Engine) -> None:
        old = done(database_url, "key", "create", "a key", "--scope", "uploads:read")
        new = done(database_url, "key", "rotate", str(old["id"]), "--overlap", "1")
        assert (new["replaces"], new["scopes"]) == (old["id"], old["scopes"])
        with engine.connect() as connection:
            holders = [keys.holder_of(connection, str(key["key"])) for key in (old, new)]
            stored = keys.stored_key(connection, keys.DEFAULT_ORGANIZATION, UUID(str(old["id"])))
        assert all(holder and holder.scopes == ("uploads:read",) for holder in holders)
        assert stored
        assert stored.replaced_by == UUID(str(new["id"]))
        assert stored.expires_at
        again = command(database_url, "key", "rotate", str(old["id"]))
        assert (again.code, again.out) == (1, "")
        done(database_url, "key", "revoke", str(new["id"]))
        assert [action for action, *_ in trail(engine, keys.DEFAULT_ORGANIZATION)] == [
            "key.made",
            "key.rotated",
            "key.revoked",
        ]

    def test_one_that_only_signs_comes_from_the_secrets_file(
        self, database_url: str, engine: Engine, tmp_path: Path
    ) -> None:
        file = tmp_path / "secrets.json"
        refused = command(
            database_url, "key", "create", "signer", "--signed-only", ROWSTREAM_ACCESS__SECRETS_FILE=str(file)
        )
        assert (refused.code, refused.out) == (1, "")
        assert "there is no secrets file" in refused.err
        secrets.write(file, secrets.new_secrets())
        made = done(database_url, "key", "create", "signer", "--signed-only", ROWSTREAM_ACCESS__SECRETS_FILE=str(file))
        assert str(made["key"]).startswith("rss_")
        assert made["signed_only"] is True
        done(database_url, "key", "create", "sender")
        listed = command(database_url, "key", "list").out.splitlines()
        uses = {line.split()[-1]: "signs only" if " signs only " in line else "is sent" for line in listed[1:]}
        assert uses == {"signer": "signs only", "sender": "is sent"}
        with engine.connect() as connection:
            assert keys.holder_of(connection, str(made["key"])) is None, "it is never sent"

    def test_of_another_organization_none_is_listed_or_ended(self, database_url: str) -> None:
        done(database_url, "org", "create", "Acme Ltd")
        theirs = done(database_url, "key", "create", "theirs", "--organization", "Acme Ltd")
        assert json.loads(command(database_url, "key", "list", "--json").out)["items"] == []
        for verb in ("revoke", "rotate"):
            refused = command(database_url, "key", verb, str(theirs["id"]))
            assert (refused.code, refused.out) == (1, "")


def test_no_organization_is_found_in_anothers_place_by_its_name(database_url: str, engine: Engine) -> None:
    acme = done(database_url, "org", "create", "Acme Ltd")
    with engine.begin() as connection:
        impostor = organizations.make(connection, str(acme["id"]))
    assert done(database_url, "org", "show", str(acme["id"]))["name"] == "Acme Ltd"
    assert done(database_url, "org", "show", str(impostor.id))["name"] == acme["id"]
    refused = command(database_url, "org", "create", NOBODYS)
    assert (refused.code, refused.out) == (2, "")
    assert "must not look like an id" in refused.err
