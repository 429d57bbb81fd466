from collections.abc import Iterable, Sequence

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from record_processor.duplicates import first_of_each, lost_to_table

KEY = ("name", "year")
ORDER = ("upload", "row_number")
Row = tuple[str, int, int, int]  # name, year, upload, row number


def frame(rows: Iterable[Row]) -> pl.DataFrame:
    """Good rows in the order given; a row's record number says nothing about its order."""
    schema = {"name": pl.String, "year": pl.Int64, "upload": pl.Int64, "row_number": pl.Int64}
    table = pl.DataFrame(list(rows), schema=schema, orient="row")
    return table.with_columns(record=100 - pl.int_range(table.height, dtype=pl.Int64))


def firsts(rows: Sequence[Row]) -> dict[tuple[str, int], tuple[int, int]]:
    """The reference: the lowest upload and row number of each key."""
    best: dict[tuple[str, int], tuple[int, int]] = {}
    for name, year, upload, row in rows:
        best[name, year] = min(best.get((name, year), (upload, row)), (upload, row))
    return best


rows_of_few_keys = st.lists(
    st.tuples(st.sampled_from(["a", "b", "é", ""]), st.integers(1, 2), st.integers(1, 3), st.integers(2, 40)),
    unique_by=lambda row: row[2:],
    max_size=30,
)


@settings(deadline=None)
@given(rows_of_few_keys)
def test_the_first_of_each_key_wins_and_every_other_row_names_it(rows: list[Row]) -> None:
    good = frame(rows)
    decided = first_of_each(good, KEY, ORDER)
    by_record = {row["record"]: row for row in good.to_dicts()}

    assert {
        (row["name"], row["year"]): (row["upload"], row["row_number"]) for row in decided.kept.to_dicts()
    } == firsts(rows)
    assert decided.kept.columns == good.columns
    assert sorted([*decided.kept["record"], *decided.losers["record"]]) == sorted(good["record"])
    for loser, winner in decided.losers.rows():
        assert [by_record[loser][name] for name in KEY] == [by_record[winner][name] for name in KEY]
        assert winner in decided.kept["record"]
    assert decided.kept.rows() == decided.kept.sort(KEY).rows()
    assert decided.losers["record"].is_sorted()


@settings(deadline=None)
@given(rows_of_few_keys, st.data())
def test_batching_in_the_order_of_a_lane_gives_the_same_winners(rows: list[Row], data: st.DataObject) -> None:
    """One upload, cut anywhere: a later batch loses against what the earlier ones put into the table."""
    upload = sorted((name, year, 1, index) for index, (name, year, _, _) in enumerate(rows, start=2))
    upload.sort(key=lambda row: row[3])
    cut = data.draw(st.integers(0, len(upload)))
    table: dict[tuple[str, int], int] = {}
    lost: dict[int, int] = {}  # row number: row number that came first
    for batch in (upload[:cut], upload[cut:]):
        good = frame(batch)
        decided = first_of_each(good, KEY, ORDER)
        taken = [
            (row["record"], table[row["name"], row["year"]])
            for row in decided.kept.to_dicts()
            if (row["name"], row["year"]) in table
        ]
        beaten = lost_to_table(decided, pl.DataFrame(taken, {"record": pl.Int64, "first_row": pl.Int64}, orient="row"))
        row_of = dict(good.select("record", "row_number").iter_rows())
        lost |= {row_of[record]: row_of[winner] for record, winner in beaten.losers.rows()}
        lost |= {row_of[record]: first_row for record, first_row in beaten.beaten.rows()}
        table |= {(row["name"], row["year"]): row["row_number"] for row in beaten.kept.to_dicts()}
    first = {key: row for key, (_, row) in firsts(upload).items()}
    assert table == first
    assert lost == {row: first[name, year] for name, year, _, row in upload if first[name, year] != row}


def test_a_winner_that_the_table_beats_takes_its_losers_along() -> None:
    rows = [("a", 1, 1, 5), ("a", 1, 1, 2), ("a", 1, 2, 1), ("b", 1, 1, 3), ("b", 1, 1, 4)]
    decided = first_of_each(frame(rows), KEY, ORDER)
    taken = pl.DataFrame({"record": [99], "upload_id": ["u7"], "first_row": [70]})
    beaten = lost_to_table(decided, taken)
    assert beaten.kept["record"].to_list() == [97]
    assert beaten.losers.rows() == [(96, 97)]
    assert beaten.beaten.rows() == [(98, "u7", 70), (99, "u7", 70), (100, "u7", 70)]


def test_a_winner_that_is_taken_out_makes_room_for_the_next() -> None:
    good = frame([("a", 1, 1, 5), ("a", 1, 1, 2), ("a", 1, 1, 9)])
    refused = first_of_each(good, KEY, ORDER).kept["record"].item()
    again = first_of_each(good.filter(pl.col("record") != refused), KEY, ORDER)
    assert again.kept["row_number"].to_list() == [5]
    assert again.losers.rows() == [(98, 100)]


@pytest.mark.parametrize("rows", [[], [("a", 1, 1, 2)], [("b", 1, 1, 2), ("a", 1, 1, 3)]])
def test_nothing_is_lost_where_all_keys_differ(rows: list[Row]) -> None:
    decided = first_of_each(frame(rows), KEY, ORDER)
    assert decided.kept["name"].to_list() == sorted(row[0] for row in rows)
    assert decided.losers.schema == {"record": pl.Int64, "winner": pl.Int64}
    assert decided.losers.is_empty()
