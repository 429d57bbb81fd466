"""How passwords are kept, and which cannot be one."""

import pytest
from argon2 import PasswordHasher

from rowstream.runtime.passwords import Unfit, hash_password, is_outdated, is_right, random_password

PASSWORD = "correct horse battery staple"  # noqa: S105 - of nobody


@pytest.fixture(scope="module")
def kept() -> str:
    return hash_password(PASSWORD)


def test_it_is_kept_as_argon2id_with_the_parameters_that_owasp_recommends(kept: str) -> None:
    assert kept.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert PASSWORD not in kept
    assert hash_password(PASSWORD) != kept, "each has a salt of its own"
    assert not is_outdated(kept)
    assert is_outdated(PasswordHasher(time_cost=1, memory_cost=1024, parallelism=1).hash(PASSWORD))


@pytest.mark.parametrize(
    ("password", "right"),
    [
        (PASSWORD, True),
        (f"{PASSWORD} ", False),
        (PASSWORD.upper(), False),
        (PASSWORD[:-1], False),
        ("", False),
        ("x" * 257, False),
        ("\ud800", False),
        ("\x00", False),
    ],
)
def test_only_the_same_one_is_right(password: str, *, right: bool, kept: str) -> None:
    assert is_right(kept, password) is right


@pytest.mark.parametrize(
    "broken", ["", "x", "$argon2id$", "$2b$12$abcdefghijklmnopqrstuv", "$argon2id$v=19$m=1,t=1,p=1$a$b"]
)
def test_a_hash_that_cannot_be_read_is_nobodys(broken: str) -> None:
    assert not is_right(broken, PASSWORD)


def test_a_letter_may_be_typed_in_two_ways() -> None:
    assert is_right(hash_password("caf\u00e9 au lait, s'il vous plait"), "cafe\u0301 au lait, s'il vous plait")


@pytest.mark.parametrize(
    ("password", "fit"),
    [
        ("twelve chars", True),
        ("eleven char", False),
        ("e\u0301" * 11, False),
        ("\U0001f642 \U0001f984 ninety owls", True),
        ("ab" * 128, False),
        ("nobody has this one " * 12 + "at all, or so", True),
        ("x" * 257, False),
        ("half a pair \ud800", False),
    ],
)
def test_what_can_be_one(password: str, *, fit: bool) -> None:
    if fit:
        assert is_right(hash_password(password), password)
    else:
        with pytest.raises(Unfit):
            hash_password(password)


@pytest.mark.parametrize(
    "password",
    [
        "password1234",
        "Passw0rd!2024",
        "PASSWORDPASSWORD",
        "qwertyuiop12",
        "asdfghjkl;'1",
        "1q2w3e4r5t6y",
        "123456789012",
        "210987654321",
        "abcdefghijkl",
        "aaaaaaaaaaaa",
        "abcabcabcabc",
        "letmein12345",
        "welcome2024!",
        "admin@123456",
        "rowstream123",
        "iloveyou2023!!",
    ],
)
def test_what_everybody_tries_first_is_refused(password: str) -> None:
    with pytest.raises(Unfit, match="guess"):
        hash_password(password)


def test_a_name_of_ones_own_is_refused() -> None:
    with pytest.raises(Unfit, match="guess"):
        hash_password("jane.doe-1990", about=("jane.doe@example.org",))
    assert hash_password("jane.doe-1990", about=("somebody@example.org",))


def test_a_random_one_is_long_and_another_each_time() -> None:
    made = {random_password() for _ in range(100)}
    assert len(made) == 100
    assert {len(one) for one in made} == {24}
    assert is_right(hash_password(min(made)), min(made))
