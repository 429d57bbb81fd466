import json
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from record_processor.rejections import ESCAPED, duplicate, of_cells, of_unparsable, storable
from rowstream.records import CellError

EMAIL = CellError("member_email", "VAL_003", "member_email must be an e-mail address, got 'x'", "x")
HOURS = CellError("work_hours", "VAL_005", "work_hours must be a whole number", "ten")


@dataclass
class Unparsed:
    row_number: int = 7
    code: str = "VAL_006"
    message: str = "3 cells where the header has 2"
    raw: str = "a,b,c"


def test_a_bad_record_is_stored_with_all_its_errors_and_all_its_cells() -> None:
    rejection = of_cells(4, [EMAIL, HOURS], ["E-Mail", "hours", "note"], ["x", "ten", ""])
    assert (rejection.row_number, rejection.error_code, rejection.error_message) == (4, "VAL_003", EMAIL.message)
    assert json.loads(json.dumps(rejection.errors)) == [
        {"field": "member_email", "code": "VAL_003", "message": EMAIL.message, "value": "x"},
        {"field": "work_hours", "code": "VAL_005", "message": HOURS.message, "value": "ten"},
    ]
    assert rejection.row_data == {"E-Mail": "x", "hours": "ten", "note": ""}
    assert list(rejection.row_data) == ["E-Mail", "hours", "note"]
    assert rejection.raw_text is None


@pytest.mark.parametrize("cells", [["x"], ["x", "y", "z"]])
def test_cells_and_headers_must_match(cells: list[str]) -> None:
    with pytest.raises(ValueError, match="zip"):
        of_cells(4, [EMAIL], ["a", "b"], cells)


def test_a_record_that_could_not_be_parsed_is_stored_as_its_text() -> None:
    rejection = of_unparsable(Unparsed(raw="a,\x00b"))
    assert (rejection.row_number, rejection.error_code) == (7, "VAL_006")
    assert rejection.row_data is None
    assert rejection.raw_text == r"escaped: a,\u0000b"
    assert rejection.errors[0]["value"] is None


def test_a_duplicate_names_the_upload_and_row_that_came_first() -> None:
    error = duplicate(["member_id", "case_number"], ["M1", "C1"], "0198c0de", 12)
    assert error == CellError(
        "member_id, case_number",
        "DUP_001",
        "member_id, case_number 'M1, C1' came first in row 12 of upload 0198c0de",
        "M1, C1",
    )


def test_a_huge_key_is_cut() -> None:
    error = duplicate(["a"], ["x" * 10_000], "u", 2)
    assert error.value is not None
    assert len(error.value) == 256
    assert len(error.message) < 200


@pytest.mark.parametrize(
    ("text", "stored"),
    [
        ("", ""),
        (r"C:\temp", r"C:\temp"),
        ("Zoë 🙂 \x01", "Zoë 🙂 \x01"),
        ("a\0b", r"escaped: a\u0000b"),
        ("\\a\0", r"escaped: \\a\u0000"),
        ("\ud83d", r"escaped: \ud83d"),
        ("escaped: ", r"escaped: escaped: "),
    ],
)
def test_what_postgres_refuses_is_escaped_and_marked(text: str, stored: str) -> None:
    assert storable(text) == stored


@given(st.text(st.one_of(st.characters(), st.characters(categories=["Cs"]), st.sampled_from("\0\\u0"))))
def test_every_text_can_be_stored_and_told_again(text: str) -> None:
    stored = storable(text)
    stored.encode()
    assert "\0" not in stored
    if not stored.startswith(ESCAPED):
        assert stored == text
        return
    body = stored.removeprefix(ESCAPED)
    told = ""
    while body:
        if body.startswith("\\\\"):
            told, body = told + "\\", body[2:]
        elif body.startswith("\\u"):
            told, body = told + chr(int(body[2:6], 16)), body[6:]
        else:
            told, body = told + body[0], body[1:]
    assert told == text


def test_cells_with_nul_and_headers_too() -> None:
    rejection = of_cells(2, [EMAIL], ["a\0"], ["\0"])
    assert rejection.row_data == {r"escaped: a\u0000": r"escaped: \u0000"}
