"""The secrets file: who may read it, what it may hold, what follows from it, and that a change of it is seen."""

import json
import stat
from pathlib import Path
from typing import Any

import pytest

from rowstream.errors import Fatal
from rowstream.runtime.secrets import NoSecrets, Secrets, SecretsFile, new_secrets, parse, read, rotated, write
from tests.unit.cli.support import run


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "secrets.json"


def kids(secrets: Secrets) -> list[str]:
    return [key.thumbprint() for key in secrets.signing]


def changed(secrets: Secrets, index: int, **members: object) -> str:
    """The file's text with members of one key changed; those that are None taken out."""
    keys: list[dict[str, Any]] = json.loads(secrets.as_json())["keys"]
    keys[index] = {name: value for name, value in {**keys[index], **members}.items() if value is not None}
    return json.dumps({"keys": keys})


def test_what_is_written_is_read_and_only_the_owner_may(path: Path) -> None:
    made = new_secrets()
    write(path, made)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(path.parent.iterdir()) == [path]
    assert kids(read(path)) == kids(made)
    assert read(path).derive("x", "1") == made.derive("x", "1")


def test_no_secret_is_in_what_is_shown() -> None:
    made = new_secrets()
    private = [key[name] for key in json.loads(made.as_json())["keys"] for name in ("d", "k") if name in key]
    assert len(private) == 2
    shown = f"{made!r}{made.public()}"
    assert not [secret for secret in private if secret in shown]
    (public,) = made.public()["keys"]
    assert public.keys() == {"kty", "crv", "x", "use", "alg", "kid"}
    assert public["kid"] == kids(made)[0]


def test_a_rotation_puts_a_new_key_first_and_keeps_as_many_as_asked() -> None:
    first = new_secrets()
    second = rotated(first, keep=1)
    third = rotated(second, keep=1)
    assert kids(second)[1:] == kids(first)
    assert kids(third)[1:] == kids(second)[:1]
    assert len(rotated(third, keep=0).signing) == 1
    assert third.derive("x", "1") == first.derive("x", "1"), "what was derived goes on"


def test_a_key_is_named_by_its_thumbprint_whatever_the_file_says() -> None:
    made = new_secrets()
    assert kids(parse(changed(made, 0, kid="mine"))) == kids(made)


def test_what_is_derived_differs_by_purpose_thing_and_key() -> None:
    one, other = new_secrets(), new_secrets()
    found = [one.derive("a", "1"), one.derive("a", "2"), one.derive("b", "1"), other.derive("a", "1")]
    assert len(set(found)) == 4
    assert {len(secret) for secret in found} == {32}
    assert one.derive("a", "1") == found[0]
    both = Secrets(signing=one.signing, derivation=(*other.derivation, *one.derivation))
    assert both.derive("a", "1") == found[3]
    assert both.derived("a", "1") == (found[3], found[0])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no JWK set"),
        ("[]", "no JWK set"),
        ('"keys"', "no JWK set"),
        ('{"keys": 1}', "no JWK set"),
        ('{"keys": [1]}', "no JWK set"),
        ('{"keys": [{"kty": "OKP"}]}', "no JWK set"),
        ('{"keys": []}', "must have an Ed25519 key"),
        (changed(new_secrets(), 0, d=None), "a private one"),
        (changed(new_secrets(), 0, d="AA"), "no JWK set"),
        (changed(new_secrets(), 0, crv="P-256"), "no JWK set"),
        (changed(new_secrets(), 0, kty="RSA"), "must have an Ed25519 key"),
        (changed(new_secrets(), 1, k="c2hvcnQgYnV0IGxvbmcgZW5vdWdo"), "at least 32 bytes"),
        (changed(new_secrets(), 1, k=None), "no JWK set"),
    ],
)
def test_what_is_no_secrets_file_is_said_without_showing_it(text: str, said: str, path: Path) -> None:
    path.write_text(text)
    with pytest.raises(Fatal, match=said) as refused:
        read(path)
    assert str(path) in str(refused.value)
    assert '"d"' not in str(refused.value)


def test_a_file_that_is_not_there_is_named(path: Path) -> None:
    with pytest.raises(Fatal, match=f"{path} cannot be read: No such file"):
        SecretsFile(str(path))


def test_without_a_file_the_setting_is_named() -> None:
    with pytest.raises(NoSecrets, match="ROWSTREAM_ACCESS__SECRETS_FILE"):
        SecretsFile(None).current()


def test_a_changed_file_is_seen_at_the_next_use(path: Path) -> None:
    first = new_secrets()
    write(path, first)
    file = SecretsFile(str(path))
    assert kids(file.current()) == kids(first)
    second = rotated(first, keep=1)
    write(path, second)
    assert kids(file.current()) == kids(second)


@pytest.mark.parametrize("broken", ["", "{", None])
def test_a_file_that_broke_leaves_the_former_secrets(broken: str | None, path: Path) -> None:
    first = new_secrets()
    write(path, first)
    file = SecretsFile(str(path))
    if broken is None:
        path.unlink()
    else:
        path.write_text(broken)
    assert kids(file.current()) == kids(first)
    second = new_secrets()
    write(path, second)
    assert kids(file.current()) == kids(second)


def test_the_command_makes_one_once_and_renews_it(path: Path) -> None:
    made = run("secrets", "make", str(path))
    assert (made.code, str(path) in made.out) == (0, True)
    before = read(path)
    again = run("secrets", "make", str(path))
    assert (again.code, "there already" in again.out) == (0, True)
    assert kids(read(path)) == kids(before)
    renewed = run("secrets", "rotate", str(path))
    assert (renewed.code, renewed.out) == (0, f"{kids(read(path))[0]} signs from now on\n")
    assert kids(read(path))[1:] == kids(before)
    assert run("secrets", "rotate", str(path), "--keep", "0").code == 0
    assert len(read(path).signing) == 1
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_the_command_leaves_a_file_that_is_something_else(path: Path) -> None:
    path.write_text("mine")
    for verb in ("make", "rotate"):
        refused = run("secrets", verb, str(path))
        assert (refused.code, "cannot be used" in refused.err) == (1, True)
    assert path.read_text() == "mine"
    missing = run("secrets", "rotate", str(path.with_name("other")))
    assert (missing.code, "rowstream secrets make" in missing.err) == (2, True)
    nowhere = run("secrets", "make", str(path / "below"))
    assert nowhere.code == 1
