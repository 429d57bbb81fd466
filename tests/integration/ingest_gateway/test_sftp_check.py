"""`rowstream sftp check` against a real server: says what would be taken, or why nobody gets in, and takes nothing."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests import servers
from tests.partners import Partner, write_sources
from tests.unit.cli.support import run


@pytest.fixture
def partner(sshd: servers.Sshd, tmp_path: Path) -> Partner:
    folder = tmp_path / "partner"
    folder.mkdir()
    return Partner(server=sshd, folder=folder)


def sources(partner: Partner, **fields: Any) -> str:
    file = partner.folder.with_name("sources.toml")
    write_sources(file, partner.says(**fields))
    return str(file)


def test_what_would_be_taken_is_listed_and_nothing_is_taken(partner: Partner) -> None:
    partner.put("a.csv")
    partner.put("b\x1b[2J.csv", modified=1_700_000_001)
    partner.put(b"M\xfcller.csv", modified=1_700_000_002)
    found = run("sftp", "check", "partner", "--sources", sources(partner))
    assert found.code == 0, found.err
    assert "\x1b" not in found.out
    assert "b\\x1b[2J.csv" in found.out
    assert "leave: its name is not UTF-8; rename it" in found.out
    assert "2 files would be taken now; nothing was" in found.err
    listed = json.loads(run("sftp", "check", "partner", "--sources", sources(partner), "--json").out)
    assert [file["would"] for file in listed["files"]] == ["take", "take", "leave"]
    assert listed["files"][0] == {
        "path": f"{partner.folder}/a.csv",
        "size_bytes": 3,
        "modified_at": "2023-11-14T22:13:20+00:00",
        "would": "take",
        "reason": "",
    }
    assert len(partner.names()) == 3


def test_a_file_that_has_to_settle_is_said_to(partner: Partner) -> None:
    partner.put("a.csv")
    found = run("sftp", "check", "partner", "--sources", sources(partner, rename=None, settled_seconds=120))
    assert "wait: it is taken once it has not changed for 120 s" in found.out


def test_a_folder_with_nothing_says_so(partner: Partner) -> None:
    found = run("sftp", "check", "partner", "--sources", sources(partner))
    assert (found.code, found.out) == (0, "logged in; the folder has nothing that the source is after\n")


@pytest.mark.parametrize(
    ("name", "fields", "message"),
    [
        ("nobody", {}, "has no [[sftp]] of the name 'nobody'"),
        ("partner", {"known_hosts_file": "/dev/null"}, "is not in /dev/null. Nothing was sent."),
        ("partner", {"folder": "/nowhere/at/all"}, "has no folder /nowhere/at/all"),
        ("partner", {"mark": ".taken"}, "exactly one of move_to, mark, leave is needed"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(partner: Partner, name: str, fields: dict[str, Any], message: str) -> None:
    found = run("sftp", "check", name, "--sources", sources(partner, **fields))
    assert found.code == 1
    assert message in found.err
    assert found.err.count("\n") == 1
