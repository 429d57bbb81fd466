import json
from pathlib import Path

from tests.unit.cli.support import run

TEXT = """
[[s3]]
name = "acme"
organization = "acme"
record_type = "member_certification"
bucket = "landing"
prefix = "acme/"
suffix = ".csv"

[[sftp]]
name = "hill"
organization = "hill"
record_type = "member_certification"
host = "sftp.hill.example"
username = "rowstream"
private_key_file = "key"
known_hosts_file = "known_hosts"
folder = "outgoing"
pattern = "*.csv"
done_marker = ".done"
move_to = "taken"
"""


def test_a_file_is_told_in_words(tmp_path: Path) -> None:
    file = tmp_path / "sources.toml"
    file.write_text(TEXT)
    for name in ("key", "known_hosts"):
        (tmp_path / name).touch()
    told = run("sources", "check", str(file))
    assert told.code == 0
    assert "objects under s3://landing/acme/, those that end with .csv" in told.out
    assert "*.csv in outgoing of rowstream@sftp.hill.example every 60 s; finished when its .done is there" in told.out
    assert "taken ones go to taken" in told.out
    listed = json.loads(run("sources", "check", str(file), "--json").out)
    assert [one["name"] for one in (*listed["s3"], *listed["sftp"])] == ["acme", "hill"]


def test_files_that_it_names_must_be_there(tmp_path: Path) -> None:
    file = tmp_path / "sources.toml"
    file.write_text(TEXT)
    (tmp_path / "key").touch()
    told = run("sources", "check", str(file))
    assert told.code == 1
    assert f"hill: there is no known_hosts_file {tmp_path / 'known_hosts'}" in told.err


def test_a_wrong_file_is_one_line(tmp_path: Path) -> None:
    file = tmp_path / "sources.toml"
    file.write_text("[[s3]]\nname = 'acme'\n")
    told = run("sources", "check", str(file))
    assert told.code == 1
    assert told.err.startswith(f"rowstream: {file}: [[s3]] number 1 (acme), organization: Field required")


def test_a_file_that_is_not_there_is_said_as_it_was_named(tmp_path: Path) -> None:
    file = tmp_path / "none.toml"
    told = run("sources", "check", str(file))
    assert (told.code, told.out) == (1, "")
    assert told.err == f"rowstream: the sources file {file} cannot be read: No such file or directory\n"


def test_a_file_without_a_source_is_said_to_be_one(tmp_path: Path) -> None:
    file = tmp_path / "sources.toml"
    file.touch()
    told = run("sources", "check", str(file))
    assert (told.code, told.err) == (0, "")
    assert told.out.startswith(f"{file} names no source: nothing is taken")
    assert json.loads(run("sources", "check", str(file), "--json").out) == {"s3": [], "sftp": []}
