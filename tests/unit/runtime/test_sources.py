"""What a sources file may say, and how what it may not say is told."""

from pathlib import Path
from typing import Any

import pytest

from rowstream.runtime.sources import Sources, WrongSources, parse, read

FILE = Path("/etc/rowstream/sources.toml")
S3 = {"name": "acme", "organization": "acme", "record_type": "member_certification", "bucket": "landing"}
SFTP = {
    "name": "hill",
    "organization": "0198c0de-0000-7000-8000-00000000000a",
    "record_type": "member_certification",
    "host": "sftp.hill.example",
    "username": "rowstream",
    "private_key_file": "keys/hill",
    "known_hosts_file": "/etc/ssh/known_hosts",
    "settled_seconds": 30,
    "leave": True,
}


def toml(kind: str, table: dict[str, Any], **changes: Any) -> str:
    said = {name: value for name, value in {**table, **changes}.items() if value is not None}
    lines = (
        f"{name} = {str(value).lower() if isinstance(value, bool) else repr(value)}" for name, value in said.items()
    )
    return "\n".join([f"[[{kind}]]", *lines, ""])


def sources_of(*tables: str) -> Sources:
    return parse("\n".join(tables).encode(), FILE)


def test_an_empty_file_has_no_sources() -> None:
    assert sources_of() == Sources()


def test_all_that_a_source_says_is_read() -> None:
    sources = sources_of(toml("s3", S3, prefix="acme/", suffix=".csv"), toml("sftp", SFTP, move_to="done", leave=None))
    (s3,), (sftp,) = sources.s3, sources.sftp
    assert (s3.name, s3.organization, s3.organization_id, s3.prefix) == ("acme", "acme", None, "acme/")
    assert str(sftp.organization_id) == SFTP["organization"]
    assert (sftp.port, sftp.folder, sftp.pattern, sftp.move_to) == (22, ".", "*", "done")
    assert sftp.private_key_file == Path("/etc/rowstream/keys/hill")
    assert sftp.known_hosts_file == Path("/etc/ssh/known_hosts")


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("acme/a.csv", "acme"),
        ("acme/2026/a.csv", "acme"),
        ("acme/hr/a.csv", "people"),
        ("acme/hr/", None),
        ("acme/hr/a.txt", None),
        ("acme2/a.csv", "rest"),
        ("a", "rest"),
    ],
)
def test_an_object_belongs_to_the_source_with_the_longest_prefix(key: str, name: str | None) -> None:
    sources = sources_of(
        toml("s3", S3, name="rest"),
        toml("s3", S3, prefix="acme/"),
        toml("s3", S3, name="people", prefix="acme/hr/", suffix=".csv"),
    )
    found = sources.of_object("landing", key)
    assert (found.name if found else None) == name
    assert sources.of_object("another", key) is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name", "is not TOML"),
        ("[s3]\nname = 'x'", r"\[\[s3\]\]"),
        ("[[ftp]]\nname = 'x'", "ftp"),
        (toml("s3", S3, bucket=None), r"\[\[s3\]\] number 1 \(acme\), bucket: Field required"),
        (toml("s3", S3) + toml("s3", S3, name="b", bukcet="x"), r"\[\[s3\]\] number 2 \(b\), bukcet"),
        (toml("s3", S3, bucket="a/b"), "number 1 .acme., bucket"),
        (toml("s3", S3, name="a b"), "name"),
        (toml("s3", S3, name=7), r"\[\[s3\]\] number 1, name"),
        (toml("s3", S3, record_type="nonsense"), "record_type: unknown record type 'nonsense'"),
        (toml("s3", S3, prefix="acme"), "prefix: a prefix ends with a slash"),
        (toml("s3", S3, prefix="/acme/"), "prefix: a prefix ends with a slash"),
        (toml("s3", S3) + toml("s3", S3, name="b"), "acme and b share s3://landing/"),
        (toml("s3", S3) + toml("sftp", SFTP, name="acme"), "acme and acme share acme; names"),
        (toml("sftp", SFTP) + toml("sftp", SFTP, name="b"), "hill and b share sftp://rowstream@sftp.hill.example:22"),
        (toml("sftp", SFTP, settled_seconds=None), "exactly one of settled_seconds, done_marker, rename is needed"),
        (toml("sftp", SFTP, rename="*.part"), "there is settled_seconds and rename"),
        (toml("sftp", SFTP, mark=".taken"), "exactly one of move_to, mark, leave"),
        (toml("sftp", SFTP, leave=False), "leave"),
        (toml("sftp", SFTP, port=0), "port"),
        (toml("sftp", SFTP, every_seconds=0), "every_seconds"),
        (toml("sftp", SFTP, host="a b"), "host"),
    ],
)
def test_what_is_wrong_is_told_by_file_table_and_field(text: str, said: str) -> None:
    with pytest.raises(WrongSources, match=said) as caught:
        sources_of(text)
    assert str(caught.value).startswith(f"{FILE}: ")


def test_a_file_that_is_no_text_a_large_one_and_a_missing_one_are_told(tmp_path: Path) -> None:
    file = tmp_path / "sources.toml"
    with pytest.raises(WrongSources, match="No such file"):
        read(file)
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(WrongSources, match="is not TOML"):
        read(file)
    file.write_bytes(b"#" * 1_000_001)
    with pytest.raises(WrongSources, match="more than"):
        read(file)
