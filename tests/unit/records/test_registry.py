import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from rowstream.errors import Fatal
from rowstream.records import registry
from rowstream.records.registry import GROUP, UnknownRecordType, check, find, load, names, record_types
from tests.unit.records.support import record_type

THING = record_type()
OTHER_THING = record_type(title="Others")
SAME_TABLE = record_type(name="thing_too")
NOTHING = "not a record type"


def point(attribute: str, name: str = "thing") -> EntryPoint:
    return EntryPoint(name, f"{__name__}:{attribute}", GROUP)


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, __name__, sys.modules[__name__])


def test_built_in_types_come_through_the_same_door() -> None:
    assert "member_certification" in record_types()
    assert find("member_certification") is record_types()["member_certification"]


def test_an_unknown_name_is_answered_with_the_known_ones() -> None:
    with pytest.raises(UnknownRecordType, match=r"unknown record type 'flight'; installed are: .*member_certification"):
        find("flight")


def test_types_are_sorted_by_name() -> None:
    own_table = record_type(name="a_thing", table="a_things")
    sys.modules[__name__].OWN_TABLE = own_table  # type: ignore[attr-defined]
    assert list(load([point("THING"), point("OWN_TABLE", "a_thing")])) == ["a_thing", "thing"]


def test_the_announced_types_are_those_that_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    types = {"thing": THING, "other": record_type(name="other", announce=True)}
    monkeypatch.setattr(registry, "record_types", lambda: types)
    assert registry.announced() == ("other",)


def test_two_types_of_one_name_are_refused() -> None:
    with pytest.raises(Fatal, match="two record types are named 'thing'"):
        load([point("THING"), point("OTHER_THING")])


def test_two_types_of_one_table_are_refused() -> None:
    with pytest.raises(Fatal, match=r"'thing' and 'thing_too' .* both want the table 'things'"):
        load([point("THING"), point("SAME_TABLE", "thing_too")])


def test_a_type_is_named_as_its_entry_point() -> None:
    with pytest.raises(Fatal, match=r"is named 'thing', its entry point in package .* 'something'; give both the same"):
        load([point("THING", "something")])


def test_names_are_known_without_loading(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "entry_points", lambda group: [EntryPoint("thing", "nowhere:THING", group)])
    names.cache_clear()
    try:
        assert names() == ("thing",)
        assert check("thing") == "thing"
        with pytest.raises(UnknownRecordType, match="unknown record type 'other'; installed are: thing"):
            check("other")
    finally:
        names.cache_clear()


def test_what_is_no_record_type_is_refused() -> None:
    with pytest.raises(Fatal, match="is a str, not a RecordType"):
        load([point("NOTHING")])


def test_a_broken_plug_in_is_named_with_its_cause(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken_plug_in.py").write_text("import a_module_that_is_not_there")
    information = tmp_path / "broken_package-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: broken-package\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text(f"[{GROUP}]\nbroken = broken_plug_in:TYPE\n")
    monkeypatch.syspath_prepend(tmp_path)
    record_types.cache_clear()
    with pytest.raises(
        Fatal, match=r"'broken' of package broken-package .*No module named 'a_module_that_is_not_there'"
    ):
        record_types()
    assert record_types.cache_info().currsize == 0
