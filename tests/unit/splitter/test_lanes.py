import numpy as np
import pyarrow as pa
import pytest
import xxhash
from hypothesis import given, settings
from hypothesis import strategies as st

from splitter.batch import make_records
from splitter.header import Column
from splitter.lanes import lane_of_row, lanes_of
from tests.unit.splitter.support import THING

COLUMNS = (Column("note", "note"), Column("Number", "number"), Column("?", None), Column("id", "id"))


def lanes_of_keys(keys: list[tuple[str, str]], lanes: int, first_row: int = 2) -> list[int]:
    cells = [
        pa.array([f"note {index}" for index in range(len(keys))], pa.utf8()),
        pa.array([number for _, number in keys], pa.utf8()),
        pa.array(["?"] * len(keys), pa.utf8()),
        pa.array([text for text, _ in keys], pa.utf8()),
    ]
    records = make_records(np.arange(first_row, first_row + len(keys)), cells)
    lane_numbers = lanes_of(records, COLUMNS, THING, lanes)
    assert lane_numbers.dtype == np.int64
    return [int(lane) for lane in lane_numbers]


def test_a_lane_is_the_same_in_every_version_and_on_every_machine() -> None:
    """Written down, not computed: a change here makes a second split of an old upload differ from its first."""
    keys = [("a", "1"), ("b", "2"), ("größe", "-3"), ("x" * 300, "4"), ("a\x1f", "1"), ("0", "900000000000000000")]
    assert lanes_of_keys(keys, 1_000_003) == [602461, 336848, 363490, 511895, 554150, 405509]


def test_a_lane_is_the_hash_of_the_key_as_text() -> None:
    keys = [(f"id {n}", str(n)) for n in range(100)]
    expected = [xxhash.xxh64_intdigest(f"{text}\x1f{number}".encode()) % 32 for text, number in keys]
    assert lanes_of_keys(keys, 32) == expected


@pytest.mark.parametrize("spellings", [["7", "007", "0007"], ["0", "00"]])
def test_equal_keys_however_written_share_a_lane(spellings: list[str]) -> None:
    lanes = lanes_of_keys([("a", spelling) for spelling in spellings], 1_000_003)
    assert len(set(lanes)) == 1


def test_a_record_without_a_readable_key_goes_by_its_row_number() -> None:
    keys = [("", "1"), ("a", ""), (" \t", "1"), ("a", "\u2003")]
    assert lanes_of_keys(keys, 7, first_row=12) == [lane_of_row(row, 7) for row in range(12, 16)] == [5, 6, 0, 1]


def test_one_lane_holds_all() -> None:
    assert lanes_of_keys([("a", "1"), ("", "")], 1) == [0, 0]


def test_no_records_have_no_lanes() -> None:
    for lanes in (1, 8):
        assert lanes_of_keys([], lanes) == []


@settings(deadline=None)  # the first call compiles expressions
@given(st.lists(st.tuples(st.text(max_size=5), st.text("012 -x", max_size=4)), max_size=20), st.integers(1, 9))
def test_a_lane_depends_on_nothing_but_the_record(keys: list[tuple[str, str]], lanes: int) -> None:
    together = lanes_of_keys(keys, lanes)
    assert all(0 <= lane < lanes for lane in together)
    assert together == [lane for n, key in enumerate(keys) for lane in lanes_of_keys([key], lanes, first_row=n + 2)]
