"""The command against a whole system: what people and programs get from upload, status and errors."""

import csv
import io
import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
import pytest

from rowstream.database.invariants import check
from rowstream.stack.addresses import Addresses
from rowstream.stack.background import in_background
from rowstream.stack.system import Options
from tests.servers.versitygw import ACCESS_KEY, SECRET_KEY
from tests.unit.cli.support import Result, run

TYPE = "member_certification"
ROWS = 400
HIDDEN = {"s3_bucket", "s3_key"}


class Place:
    """A running system and its state folder."""

    def __init__(self, folder: Path, addresses: Addresses) -> None:
        self.folder, self.addresses = folder, addresses

    def run(self, *arguments: str) -> Result:
        return run(*arguments, ROWSTREAM_STATE_DIR=str(self.folder))

    def upload(self, file: Path, *arguments: str) -> Result:
        return self.run("upload", str(file), "--record-type", TYPE, *arguments)

    def uploaded(self, file: Path) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.upload(file, "--wait", "--json").out)
        return found


@pytest.fixture(scope="module", params=["embedded servers", "real servers"])
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    """The same tests, unchanged, on what `up` brings and on what it can be given instead."""
    with TemporaryDirectory(prefix="rowstream-test-") as folder, pytest.MonkeyPatch.context() as patch:
        options = Options(state_dir=Path(folder) / "state", port=0, processors=1)
        if request.param == "real servers":
            options = on_real_servers(options, request, patch)
        with in_background(options) as addresses:
            yield Place(options.state_dir, addresses)
            assert check(addresses.database) == []


def on_real_servers(options: Options, request: pytest.FixtureRequest, patch: pytest.MonkeyPatch) -> Options:
    """With Apache Kafka, versitygw and Postgres 15 in place of the embedded ones."""
    patch.setenv("ROWSTREAM_STORAGE__ACCESS_KEY_ID", ACCESS_KEY)
    patch.setenv("ROWSTREAM_STORAGE__SECRET_ACCESS_KEY", SECRET_KEY)
    return replace(
        options,
        broker=request.getfixturevalue("apache_kafka").address,
        database=request.getfixturevalue("postgres_15").empty_database("the_command"),
        storage=f"http://{request.getfixturevalue('versitygw').address}",
    )


def sample(folder: Path, seed: int, **shares: float) -> Path:
    """A file of records, and beside it the truth about them."""
    file = folder / f"members {seed}.csv"
    shared = [word for name, share in shares.items() for word in (f"--{name}", str(share))]
    made = run(
        *("sample", TYPE, "--rows", str(ROWS), "--seed", str(seed), *shared),
        *("--output", str(file), "--truth", str(file.with_suffix(".jsonl"))),
    )
    assert made.code == 0
    return file


def truth(file: Path) -> dict[int, list[str]]:
    lines = file.with_suffix(".jsonl").read_text().splitlines()
    return {planted["row_number"]: planted["error_codes"] for planted in map(json.loads, lines)}


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sample(tmp_path_factory.mktemp("files"), 1, bad=0.1, duplicates=0.05)


@pytest.fixture(scope="module")
def done(place: Place, file: Path) -> dict[str, Any]:
    """The upload of `file`, at its end."""
    result = place.upload(file, "--wait", "--json")
    assert (result.code, result.err, result.out.count("\n")) == (0, "", 1)
    found: dict[str, Any] = json.loads(result.out)
    return found


def test_the_first_owner_logs_in(place: Place) -> None:
    system = place.addresses
    assert (place.folder / "owner_password").read_text() == system.owner_password
    with httpx.Client(base_url=system.gateway, timeout=60) as client:
        session = client.post("/auth/login", json={"email": system.owner, "password": system.owner_password}).json()
        assert (session["user"]["email"], session["role"]) == ("owner@localhost", "owner")
        headers = {"Authorization": f"Bearer {session['access_token']}"}
        assert client.get("/api/v1/batch_uploads", headers=headers).status_code == 200


def test_a_program_gets_one_object(done: dict[str, Any], file: Path) -> None:
    assert done["status"] == "completed"
    assert done["filename"] == file.name
    assert done["size_bytes"] == done["bytes_read"] == file.stat().st_size
    assert done["total_records"] == done["records_split"] == ROWS
    assert done["failed_records"] == len(truth(file)) == sum(done["errors_by_code"].values())
    assert done["succeeded_records"] == ROWS - len(truth(file))
    assert done["duration_ms"] > 0
    assert not HIDDEN & done.keys()


def test_every_error_comes_with_its_row_of_the_file_and_what_stands_there(
    place: Place, done: dict[str, Any], file: Path
) -> None:
    """simple-salesforce 665: errors come without their rows, and thousands of records cannot be matched to them."""
    found = [json.loads(line) for line in place.run("errors", done["id"], "--format", "json").out.splitlines()]
    assert {one["row_number"]: [error["code"] for error in one["errors"]] for one in found} == truth(file)
    assert len(found) == len(truth(file))
    header, *lines = file.read_bytes().splitlines()
    for one in found:
        line = lines[one["row_number"] - 2].decode("utf-8", "backslashreplace")
        if one["row_data"] is None:
            assert one["raw_text"] == line.replace("\0", "\\x00")
        else:
            cells = dict(zip(header.decode().split(","), next(csv.reader([line])), strict=True))
            assert {name: cell or "" for name, cell in one["row_data"].items()} == cells


def test_errors_as_csv_can_be_corrected_and_handed_in_again(place: Place, done: dict[str, Any], tmp_path: Path) -> None:
    report = tmp_path / "rejected.csv"
    result = place.run("errors", done["id"], "--output", str(report))
    assert (result.code, result.out, result.err) == (0, "", f"{report} written\n")
    assert place.run("errors", done["id"]).out.encode() == report.read_bytes()
    again = place.run("errors", done["id"], "--output", str(report))
    assert (again.code, again.out) == (2, "")
    assert "is there already; give another name, or --force" in again.err
    rows = list(csv.DictReader(io.StringIO(report.read_text(), newline="")))
    assert len(rows) == done["failed_records"]
    corrected = place.uploaded(report)
    assert corrected["status"] == "completed"
    assert corrected["total_records"] == len(rows)


def test_errors_of_one_code(place: Place, done: dict[str, Any]) -> None:
    lines = place.run("errors", done["id"], "--format", "json", "--code", "DUP_001").out.splitlines()
    assert {json.loads(line)["error_code"] for line in lines} == {"DUP_001"}
    assert len(lines) == done["errors_by_code"]["DUP_001"]


def test_a_person_is_told_what_became_of_each_record(place: Place, tmp_path: Path) -> None:
    file = sample(tmp_path, 2, bad=0.1)
    result = place.upload(file, "--wait")
    assert result.code == 0
    assert re.search(r"^✓ members 2\.csv completed: 400 records in \S+ s \(", result.out)
    assert re.search(rf"^loaded +{ROWS - len(truth(file))}$", result.out, re.MULTILINE)
    assert re.search(rf"^rejected +{len(truth(file))}  for example$", result.out, re.MULTILINE)
    for code in {codes[0] for codes in truth(file).values()}:
        row = min(row for row, codes in truth(file).items() if codes[0] == code)
        assert re.search(rf"^  {code} +\d+  row {row}: ", result.out, re.MULTILINE)
    assert re.search(
        r"rowstream errors [0-9a-f-]{36} --output rejected\.csv|rowstream errors [0-9a-f-]{36} --state-dir", result.out
    )
    assert result.err == f"{file.name}: {file.stat().st_size / 1000:.1f} kB sent\n"


def test_the_same_file_twice_is_rejected_whole_and_that_is_no_failure(place: Place, tmp_path: Path) -> None:
    file = sample(tmp_path, 3, bad=0, duplicates=0)
    first = place.uploaded(file)
    result = place.upload(file, "--wait", "--json")
    assert result.code == 0
    assert json.loads(result.out)["errors_by_code"] == {"DUP_001": ROWS}
    assert json.loads(result.out)["id"] != first["id"]


def test_a_script_is_let_go_as_soon_as_the_upload_is_accepted(place: Place, tmp_path: Path) -> None:
    file = sample(tmp_path, 4)
    accepted = json.loads(place.upload(file, "--json").out)
    assert accepted["status"] in {"pending", "processing", "completed"}
    assert accepted["accepted_at"]
    told = place.upload(file, "--no-wait")
    assert told.code == 0
    assert re.search(r"^see how it goes: rowstream status [0-9a-f-]{36} --state-dir ", told.out, re.MULTILINE)


def test_a_terminal_shows_bars_and_waits(place: Place, tmp_path: Path) -> None:
    file = sample(tmp_path, 5)
    ours, theirs = pty.openpty()
    command = [str(Path(sys.executable).with_name("rowstream")), "upload", str(file), "--record-type", TYPE]
    environment = {**os.environ, "ROWSTREAM_STATE_DIR": str(place.folder), "TERM": "xterm", "COLUMNS": "100"}
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment) as process:
        os.close(theirs)
        shown = read_all(ours)
    assert process.returncode == 0
    for step in ("sending ", "splitting ", "loading ", "400 records", "loaded · "):
        assert step in shown
    assert "✓ members 5.csv completed: 400 records" in shown


def read_all(descriptor: int) -> str:
    blocks = []
    try:
        while block := os.read(descriptor, 65_536):
            blocks.append(block)
    except OSError:  # how a terminal says that nobody writes to it any more
        pass
    os.close(descriptor)
    return b"".join(blocks).decode()


@pytest.mark.parametrize(
    ("content", "code"),
    [(b"", "FMT_001"), (b"a,b\xff\n1,2\n", "FMT_002"), (b"a,b\n1,2\n", "FMT_003")],
)
def test_a_file_that_is_no_such_file_fails_in_one_clear_line(
    content: bytes, code: str, place: Place, tmp_path: Path
) -> None:
    file = tmp_path / "no.csv"
    file.write_bytes(content)
    result = place.upload(file, "--wait")
    assert result.code == 1
    assert result.out.startswith(f"✗ no.csv failed, {code}: ")
    assert result.out.count("\n") == 1


def test_a_file_that_is_no_text_is_refused_at_the_door(place: Place, tmp_path: Path) -> None:
    file = tmp_path / "no.csv"
    file.write_bytes(b"\x89PNG\r\n\x1a\n\0\0\0")
    result = place.upload(file, "--wait")
    assert (result.code, result.out) == (1, "")
    assert "rowstream: the file is not text: it looks like a PNG image. Export the records" in result.err
    listed = json.loads(place.run("status", "--json", "--limit", "1").out)["items"][0]
    assert (listed["status"], listed["failure_code"], listed["accepted_at"]) == ("failed", "FMT_002", None)


def test_a_header_alone_is_a_file_without_records(place: Place, tmp_path: Path) -> None:
    (tmp_path / "header.csv").write_text(run("template", TYPE).out.splitlines()[0] + "\n")
    result = place.upload(tmp_path / "header.csv", "--wait")
    assert result.code == 0
    assert result.out.startswith("✓ header.csv completed: 0 records in ")


def test_uploads_are_listed_the_newest_first(place: Place, done: dict[str, Any]) -> None:
    page = json.loads(place.run("status", "--json").out)
    created = [one["created_at"] for one in page["items"]]
    assert created == sorted(created, reverse=True)
    assert "next_cursor" in page
    first = json.loads(place.run("status", "--json", "--limit", "1").out)
    assert len(first["items"]) == 1
    lines = place.run("status", "--limit", "200").out.splitlines()
    assert any(line.startswith(done["id"]) and " completed " in line for line in lines[1:])


def test_one_upload_is_shown(place: Place, done: dict[str, Any]) -> None:
    assert json.loads(place.run("status", done["id"], "--json").out) == done
    shown = place.run("status", done["id"]).out
    assert re.search(rf"^upload +{done['id']}$", shown, re.MULTILINE)
    assert re.search(rf"^record type +{TYPE}$", shown, re.MULTILINE)
    assert re.search(rf"^loaded +{done['succeeded_records']}$", shown, re.MULTILINE)


def test_a_real_system_may_be_named_by_the_environment(place: Place, done: dict[str, Any], tmp_path: Path) -> None:
    named = {"ROWSTREAM_URL": place.addresses.gateway, "ROWSTREAM_API_KEY": place.addresses.api_key}
    found = run("status", done["id"], "--json", "--state-dir", str(tmp_path), **named)
    assert json.loads(found.out)["id"] == done["id"]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("upload", "no-such.csv", "-t", TYPE), 2, r"no-such\.csv cannot be read: No such file or directory"),
        (("upload", ".", "-t", TYPE), 2, r"\. is a folder; give the file that is to be uploaded"),
        (
            ("upload", __file__, "-t", "things"),
            2,
            r"unknown record type 'things'; installed are: .*member_certif.*422\)",
        ),
        (
            ("status", "019c2f6e-5d1b-7cc3-98c4-dc0c0c07398f"),
            1,
            r"there is no upload 019c2f6e-.*; `rowstream status` lists the newest",
        ),
        (("errors", "12"), 2, "'12' is no id of an upload; `rowstream status` lists the newest"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(
    arguments: tuple[str, ...], code: int, said: str, place: Place
) -> None:
    result = place.run(*arguments)
    assert (result.code, result.out) == (code, "")
    assert re.fullmatch(rf"rowstream: {said}\n", result.err)


def test_a_proxy_is_not_asked_for_what_is_here(place: Place) -> None:
    proxy = {"HTTP_PROXY": "http://127.0.0.1:1", "http_proxy": "http://127.0.0.1:1"}
    assert run("status", ROWSTREAM_STATE_DIR=str(place.folder), **proxy).code == 0


def test_a_wrong_key_and_no_system_are_said(place: Place, tmp_path: Path) -> None:
    wrong = run("status", ROWSTREAM_URL=place.addresses.gateway, ROWSTREAM_API_KEY="rs_wrong")
    assert wrong.code == 2
    assert "HTTP 401" in wrong.err
    nowhere = run("status", "--state-dir", str(tmp_path))
    assert nowhere.code == 2
    assert "start one with `rowstream up`" in nowhere.err


def test_the_doctor_tells_of_a_key_whose_organization_is_closed(place: Place) -> None:
    database = ("--database", place.addresses.database)
    try:
        assert place.run("org", "close", "default", "--yes", *database).code == 0
        ill = place.run("doctor", "--json")
    finally:
        assert place.run("org", "set", "default", "--reopen", *database).code == 0
    wrong = judged(ill)
    assert (wrong["ok"], ill.code) == (False, 1)
    assert "its organization is closed" in wrong["found"]
    assert "--reopen" in wrong["advice"]
    assert judged(place.run("doctor", "--json"))["ok"]


def judged(doctor: Result) -> dict[str, Any]:
    """What the doctor says of the key."""
    (found,) = (finding for finding in json.loads(doctor.out) if finding["check"] == "api key")
    return dict(found)
