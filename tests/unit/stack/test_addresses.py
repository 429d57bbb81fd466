import json
from pathlib import Path

import pytest

from rowstream.stack.addresses import Addresses, without_password
from rowstream.stack.state_dir import StateDir

SYSTEM = Addresses(
    gateway="http://127.0.0.1:8000",
    broker="127.0.0.1:9092",
    database="postgresql://rowstream:hidden@127.0.0.1:5432/rowstream",
    storage="http://127.0.0.1:9000",
    bucket="rowstream",
    api_key="rs_hidden",
    metrics={"splitter": ("http://127.0.0.1:1/metrics",)},
    owner="owner@localhost",
    owner_password="hidden",  # noqa: S106 - looked for below
)


def test_what_up_prints_as_json() -> None:
    printed = json.loads(json.dumps(SYSTEM.as_json()))
    assert list(printed) == [
        "gateway",
        "broker",
        "database",
        "storage",
        "bucket",
        "api_key",
        "metrics",
        "owner",
        "owner_password",
    ]
    assert printed["metrics"] == {"splitter": ["http://127.0.0.1:1/metrics"]}
    assert "hidden" in printed["database"]


def test_a_saved_system_is_found_again(tmp_path: Path) -> None:
    state = StateDir(tmp_path)
    assert Addresses.saved(state) is None
    SYSTEM.save(state)
    found = Addresses.saved(state)
    assert found is not None
    assert (found.gateway, found.api_key) == (SYSTEM.gateway, SYSTEM.api_key)
    older = {name: value for name, value in SYSTEM.as_json().items() if not name.startswith("owner")}
    state.write_json("system.json", older)
    assert (Addresses.saved(state) or SYSTEM).owner_password == ""
    state.write("system.json", "{}")
    assert Addresses.saved(state) is None


def test_neither_line_nor_repr_holds_a_secret() -> None:
    assert "hidden" not in SYSTEM.line()
    assert "hidden" not in repr(SYSTEM)
    assert "postgresql://rowstream@127.0.0.1:5432/rowstream" in SYSTEM.line()


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://a:b@h:1/n", "postgresql://a@h:1/n"),
        ("postgresql://a:b%40c@h/n?sslmode=require", "postgresql://a@h/n?sslmode=require"),
        ("postgresql://a@h/n", "postgresql://a@h/n"),
        ("postgresql:///n", "postgresql:///n"),
    ],
)
def test_an_address_is_shown_without_its_password(url: str, shown: str) -> None:
    assert without_password(url) == shown
