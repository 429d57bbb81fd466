import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from rowstream.cli import demo_files, demo_steps
from rowstream.records import registry

PLUG_IN = """
from pathlib import Path

class Unavailable(Exception):
    pass

def fetch(output):
    if (output.parent.parent / "offline").exists():
        raise Unavailable("cannot download it: no network\\nTry again")
    output.parent.mkdir(parents=True)
    output.write_text("year,month\\n")
"""


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The user's cache folder, on a machine where the flights example is installed."""
    package = tmp_path / "rowstream_flights"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "data.py").write_text(PLUG_IN)
    for name in ("rowstream_flights", "rowstream_flights.data", "rowstream_flights.flights"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(registry, "record_types", lambda: {"flights": None})
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    yield tmp_path
    for name in ("rowstream_flights.data", "rowstream_flights"):
        sys.modules.pop(name, None)


def test_the_flights_are_downloaded_once(cache: Path) -> None:
    fetched: list[Path] = []
    for _ in range(2):
        file = demo_files.flights(fetched.append)
        assert file.path == cache / "rowstream" / "flights.csv"
        assert (file.records, file.planted) == (336_776, {})
    assert fetched == [cache / "rowstream" / "flights.csv"]


def test_without_a_network_the_flights_are_left_out(cache: Path) -> None:
    (cache / "offline").touch()
    with pytest.raises(demo_files.LeftOut, match=r"^cannot download it: no network Try again$"):
        demo_files.flights(lambda _: None)


def test_where_the_example_is_not_installed_the_flights_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "record_types", dict)
    with pytest.raises(demo_files.LeftOut, match="the record type is not installed"):
        demo_files.flights(lambda _: None)


def test_the_tutorials_package_has_no_file_of_flights(cache: Path) -> None:
    (cache / "rowstream_flights" / "data.py").unlink()
    with pytest.raises(demo_files.LeftOut, match="the record type is not installed"):
        demo_files.flights(lambda _: None)


def test_an_example_that_cannot_be_imported_is_a_defect(cache: Path) -> None:
    (cache / "rowstream_flights" / "data.py").write_text("import no_such_package")
    with pytest.raises(ModuleNotFoundError, match="no_such_package"):
        demo_files.flights(lambda _: None)


def test_the_members_come_with_what_must_be_rejected(tmp_path: Path) -> None:
    file = demo_files.members(tmp_path)
    assert file.path.read_bytes().count(b"\n") == file.records + 1 == 20_001
    truth = [json.loads(line) for line in (tmp_path / "members-truth.jsonl").read_text().splitlines()]
    assert {planted["row_number"]: tuple(planted["error_codes"]) for planted in truth} == file.planted
    assert f"{len(truth)} with planted faults" in file.about


@pytest.mark.parametrize(
    ("xdg", "folder"),
    [
        ("/var/cache/me", "/var/cache/me/rowstream"),
        ("relative", "/home/me/.cache/rowstream"),
        (None, "/home/me/.cache/rowstream"),
    ],
)
def test_downloads_are_kept_in_the_users_cache(xdg: str | None, folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    assert demo_files.cache_folder(xdg) == Path(folder)


def test_an_upload_that_stands_still_ends_the_demo(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo_steps, "_STALL_SECONDS", 0.0)
    upload = {"version": 2, "bytes_read": 10, "records_split": 5, "processed_records": 0}
    seen: list[object] = []
    look = demo_steps._unless_stalled(seen.append)
    look(upload)
    look({**upload, "processed_records": 1})
    with pytest.raises(demo_steps.Stalled, match=r"has not moved for 0 s; .* `rowstream demo --keep`"):
        look({**upload, "processed_records": 1})
    assert len(seen) == 3
