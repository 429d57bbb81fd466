from collections.abc import Mapping, Sequence
from datetime import date

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from record_processor.validate import Validated, validate
from record_types.member_certification import RECORD_TYPE
from tests.reference import validator as reference

Record = Mapping[str, str | None]

GOOD: dict[str, str | None] = {
    "member_id": "M1",
    "case_number": "C1",
    "member_email": "ann@example.org",
    "certification_date": "2024-02-29",
    "certification_type": "recertification",
    "date_of_birth": "1980-12-31",
    "work_hours": "0040",
}
HOSTILE = [
    "", " ", "\t \u3000", "\u200b", "\x1c", "\x1f", "\x85", "\xa0x", "NA", "null", "\x7f", "É",
    "\u0663", "\uff12\uff10\uff12\uff14-\uff10\uff11-\uff10\uff11", "\u212a", "\u0130",
    "2024-01-01", "2024-1-5", "+2024-01-01", "2024-1-005", "2024- 1-05", "2024-01- 5", " 2024-01-01", "2024-01-01 ",
    "0000-01-01", "0001-01-01", "9999-12-31", "10000-01-01", "2023-02-29", "2024-13-01", "2024-01-01\n", "1900-02-29",
    "0", "-0", "-1", "+5", "007", "1.0", "1e3", "0x10", "1_000", "999999999999999999", "1000000000000000000",
    "000000000000000000", "0000000000000000000", "9999999999999999999999", "1 ", "5\n", "true", "YES", "Yes", "yes ",
    "a@b", "a@b.", "@b", "a@-b", "a@b-", "a@b.c", "a@b_c", "é@b.c", "a b@c.d", "a@" + "x" * 63, "a@" + "x" * 64,
    "a@b\n",
    "A.!#$%&'*+/=?^_`{|}~-@b", "new_application", "New_Application", "recertification ", "'; drop table x; --", "=1+1",
]  # fmt: skip

cells = st.one_of(st.sampled_from(HOSTILE), st.text(max_size=12), st.from_regex(r"[0-9]{4}-[0-9]{2}-[0-9]{2}\Z"))
days = st.dates().map(str)
good_cells = {
    "member_id": st.text("ab1", min_size=1, max_size=3),
    "case_number": st.text("ab1", min_size=1, max_size=3),
    "member_email": st.emails(domains=st.just("example.org")),
    "certification_date": days,
    "date_of_birth": days,
    "certification_type": st.sampled_from(reference.TYPES),
    "pregnancy_status": st.sampled_from(["yes", "YES", "True", "no", ""]),
}


@st.composite
def records(draw: st.DrawFn) -> dict[str, str | None]:
    """Valid, nearly valid and hostile records: each cell may be anything, mostly what its column asks for."""
    record: dict[str, str | None] = {}
    share_hostile = draw(st.sampled_from([0, 0, 1, 3, 10]))
    for name in reference.COLUMNS:
        fitting = good_cells.get(name, st.sampled_from(["", "12", "7"]))
        hostile = draw(st.integers(0, 9)) < share_hostile
        record[name] = draw(st.one_of(st.none(), cells) if hostile else fitting)
    return record


def frame(rows: Sequence[Record], columns: Sequence[str] = reference.COLUMNS, first: int = 0) -> pl.DataFrame:
    numbers = pl.Series("record", range(first, first + len(rows)), dtype=pl.Int64)
    return pl.DataFrame([numbers, *(pl.Series(name, [row.get(name) for row in rows], pl.String) for name in columns)])


def one(**cells: str | None) -> Validated:
    return validate(frame([GOOD | cells]), RECORD_TYPE)


def outcome(validated: Validated) -> dict[int, object]:
    """By record: its typed values, or its errors as (code, columns)."""
    good = {row.pop("record"): row for row in validated.good.to_dicts()}
    bad = {
        record: [(error.code, tuple(error.field.split(", "))) for error in errors]
        for record, errors in validated.faults.items()
    }
    assert not good.keys() & bad.keys()
    return {**good, **bad}


def expected(rows: Sequence[Record]) -> dict[int, object]:
    judgements = [reference.judge(row) for row in rows]
    return {record: judged.errors or judged.values for record, judged in enumerate(judgements)}


@settings(deadline=None)  # the first call compiles patterns
@given(st.lists(records(), max_size=6), st.integers(0, 6))
def test_agrees_with_the_reference_however_records_are_batched(rows: list[Record], cut: int) -> None:
    parts = [validate(frame(rows[:cut]), RECORD_TYPE), validate(frame(rows[cut:], first=len(rows[:cut])), RECORD_TYPE)]
    assert outcome(validate(frame(rows), RECORD_TYPE)) == expected(rows)
    assert outcome(parts[0]) | outcome(parts[1]) == expected(rows)


@settings(deadline=None, max_examples=50)
@given(st.lists(records(), max_size=3), st.sets(st.sampled_from(reference.COLUMNS)))
def test_a_column_that_the_file_lacks_is_missing_in_each_record(rows: list[Record], absent: set[str]) -> None:
    present = [name for name in reversed(reference.COLUMNS) if name not in absent]
    kept = [{name: row[name] for name in present} for row in rows]
    assert outcome(validate(frame(kept, present), RECORD_TYPE)) == expected(kept)


@pytest.mark.parametrize("name", reference.COLUMNS)
def test_every_hostile_cell_in_every_column(name: str) -> None:
    rows = [GOOD | {name: cell} for cell in HOSTILE]
    assert outcome(validate(frame(rows), RECORD_TYPE)) == expected(rows)


def test_every_code_point_by_itself() -> None:
    points = [chr(point) for point in range(0x3100)]
    rows = [GOOD | {"member_id": point, "work_hours": point} for point in points]
    assert outcome(validate(frame(rows), RECORD_TYPE)) == expected(rows)


def test_every_day_there_is_and_those_beside_them() -> None:
    texts = [f"{year:04}-{month:02}-{day:02}" for year in (0, 1, 1900, 2000, 2023, 2024, 9999)
             for month in range(14) for day in range(33)]  # fmt: skip
    rows = [GOOD | {"date_of_birth": None, "certification_date": text} for text in texts]
    assert outcome(validate(frame(rows), RECORD_TYPE)) == expected(rows)


def test_good_records_keep_their_order_and_have_typed_and_derived_columns() -> None:
    rows = [GOOD | {"member_id": name, "pregnancy_status": "TRUE"} for name in "cab"]
    good = validate(frame(rows, first=7), RECORD_TYPE).good
    assert good["record"].to_list() == [7, 8, 9]
    assert good["member_id"].to_list() == ["c", "a", "b"]
    assert good.columns == ["record", *RECORD_TYPE.columns, "pregnancy_due_or_parturition_date"]
    assert good["pregnancy_due_or_parturition_date"].to_list() == [date(2024, 2, 29)] * 3
    assert good["work_hours"].to_list() == [40] * 3


def test_no_records() -> None:
    validated = validate(frame([]), RECORD_TYPE)
    assert validated.good.height == 0
    assert validated.good.schema["certification_date"] == pl.Date
    assert validated.faults == {}


@pytest.mark.parametrize(
    ("cells", "message", "value"),
    [
        (
            {"member_id": " ", "certification_type": None},
            "member_id, certification_type must not be empty",
            None,
        ),
        (
            {"certification_date": "2024-13-01"},
            "certification_date must be a real day written YYYY-MM-DD, got '2024-13-01'",
            "2024-13-01",
        ),
        ({"member_email": "ann"}, "member_email must be an e-mail address, got 'ann'", "ann"),
        (
            {"certification_type": "x"},
            "certification_type must be one of new_application, recertification, got 'x'",
            "x",
        ),
        (
            {"work_hours": "-1"},
            "work_hours must be a whole number: the digits 0 to 9, at most 18, got '-1'",
            "-1",
        ),
        (
            {"date_of_birth": "2024-03-01"},
            (
                "nobody is born after the certification date; got "
                "date_of_birth '2024-03-01', certification_date '2024-02-29'"
            ),
            "2024-03-01, 2024-02-29",
        ),
    ],
)
def test_a_message_says_what_is_asked_for_and_what_was_found(
    cells: dict[str, str | None], message: str, value: str | None
) -> None:
    (error,) = one(**cells).faults[0]
    assert (error.message, error.value) == (message, value)


def test_a_long_cell_is_cut_in_the_error() -> None:
    (error,) = one(member_email="x" * 10_000).faults[0]
    assert error.value == "x" * 255 + "…"
    assert len(error.message) < 150


def test_faults_come_by_record_and_within_it_by_code_then_column() -> None:
    bad = {
        "work_hours": "x",
        "lookback_period": "x",
        "date_of_birth": "x",
        "certification_date": "x",
        "case_number": "",
    }
    validated = validate(frame([GOOD | bad, GOOD, GOOD | bad]), RECORD_TYPE)
    assert list(validated.faults) == [0, 2]
    assert [(error.code, error.field) for error in validated.faults[2]] == [
        ("VAL_001", "case_number"),
        ("VAL_002", "certification_date"),
        ("VAL_002", "date_of_birth"),
        ("VAL_005", "lookback_period"),
        ("VAL_005", "work_hours"),
    ]
