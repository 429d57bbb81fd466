import csv
import io
import json
from collections import Counter
from itertools import pairwise
from typing import Any

import dataframely as dy
import numpy as np
import polars as pl
import pytest

from record_processor.duplicates import first_of_each
from record_processor.validate import validate
from record_types.member_certification import RECORD_TYPE as MEMBER
from rowstream.errors import Fatal
from rowstream.records import BusinessRule, RecordType
from rowstream.records import sample as sampling
from rowstream.records.sample import template, write_sample
from tests.reference import csv_reader, validator
from tests.unit.records.support import record_type, schema, texts

ID = dy.String(nullable=False)
EVERYTHING = record_type(
    schema=schema(
        id=dy.Int64(nullable=False),
        flag=dy.Bool(nullable=True),
        day=dy.Date(nullable=True),
        moment=dy.Datetime(nullable=False, time_zone="UTC"),
        small=dy.Int8(nullable=True, min=3, max=7),
        money=dy.Decimal(6, 2, nullable=True),
        share=dy.Float64(nullable=True),
        short=dy.String(nullable=True, max_length=4),
        plate=dy.String(nullable=True, regex="^[A-Z]{2}[0-9]+$"),
        kind=dy.Enum(["a", "b"], nullable=False),
    ),
    missing=frozenset({"NA"}),
    rules=(
        BusinessRule(
            code="BIZ_007",
            message="b is not 7",
            fields=("kind", "small"),
            violated=(pl.col("kind") == "b") & (pl.col("small") == 7),
            breaks={"kind": "b", "small": "7"},
        ),
    ),
)
LIMITS = {"max_record_bytes": 262_144, "max_header_bytes": 65_536, "max_raw_chars": 100}


def sample(kind: RecordType, rows: int, **options: Any) -> tuple[bytes, list[dict[str, Any]]]:
    output, truth = io.BytesIO(), io.StringIO()
    write_sample(kind, rows, output=output, truth=truth, **options)
    return output.getvalue(), [json.loads(line) for line in truth.getvalue().splitlines()]


def judged(data: bytes) -> dict[int, list[str]]:
    """By row: the codes that a member file's records must be rejected with, by the references."""
    file = csv_reader.read(data, **LIMITS)
    found = {row: [code] for row, code, _ in file.rejections}
    first: set[tuple[object, ...]] = set()
    assert file.header is not None
    for row, cells in file.records:
        judgement = validator.judge(dict(zip(file.header, cells, strict=True)))
        key = tuple(judgement.values.get(name) for name in MEMBER.key)
        if judgement.errors:
            found[row] = [code for code, _ in judgement.errors]
        elif key in first:
            found[row] = ["DUP_001"]
        else:
            first.add(key)
    return dict(sorted(found.items()))


def test_the_truth_is_what_two_references_find(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampling, "_BLOCK", 700)
    monkeypatch.setattr(sampling, "_REMEMBERED", 10)
    data, truth = sample(MEMBER, 3_000, bad=0.3, duplicates=0.1)
    assert {line["row_number"]: line["error_codes"] for line in truth} == judged(data)
    assert all(line["error_code"] == line["error_codes"][0] for line in truth)
    assert data.count(b"\n") == 3_001


def test_every_fault_that_the_schema_allows_is_planted() -> None:
    _, truth = sample(MEMBER, 4_000, bad=0.5, duplicates=0.1)
    assert {code for line in truth for code in line["error_codes"]} == {
        *("VAL_001", "VAL_002", "VAL_003", "VAL_004", "VAL_005", "VAL_006", "VAL_007", "VAL_008"),
        *("BIZ_001", "DUP_001"),
    }
    assert any(len(line["error_codes"]) > 1 for line in truth)


def test_types_without_a_sampler_get_cells_and_faults_from_their_schema() -> None:
    data, truth = sample(EVERYTHING, 2_000, bad=0.5, duplicates=0.1)
    codes = Counter(code for line in truth for code in line["error_codes"])
    assert codes.keys() == {
        *("VAL_001", "VAL_002", "VAL_004", "VAL_005", "VAL_006", "VAL_007", "VAL_008", "VAL_010", "VAL_011", "VAL_012"),
        *("BIZ_007", "DUP_001"),
    }
    file = csv_reader.read(data, **LIMITS)
    assert file.header is not None
    cells = {name: [row[position] for _, row in file.records] for position, name in enumerate(file.header)}
    validated = validate(texts(**cells).with_columns(record=pl.Series([row for row, _ in file.records])), EVERYTHING)
    found = {row: [code] for row, code, _ in file.rejections}
    found |= {row: [error.code for error in errors] for row, errors in validated.faults.items()}
    losers = first_of_each(validated.good, ("id",), ("record",)).losers["record"]
    found |= {row: ["DUP_001"] for row in losers}
    assert {line["row_number"]: line["error_codes"] for line in truth} == found


def test_shares_are_about_those_asked_for() -> None:
    _, truth = sample(MEMBER, 20_000)
    codes = Counter(line["error_code"] for line in truth)
    assert 70 < codes.pop("DUP_001") < 130
    assert 150 < codes.total() < 250


def test_a_clean_file_has_no_truth_to_tell() -> None:
    data, truth = sample(MEMBER, 1_000, bad=0, duplicates=0)
    assert truth == []
    assert judged(data) == {}


def test_the_same_seed_writes_the_same_bytes_and_another_one_others() -> None:
    assert sample(MEMBER, 300, seed=3) == sample(MEMBER, 300, seed=3)
    assert sample(MEMBER, 300, seed=3) != sample(MEMBER, 300, seed=4)


def test_a_file_has_as_many_records_as_asked_for() -> None:
    assert len(sample(MEMBER, 0)[0].splitlines()) == 1
    assert len(sample(MEMBER, 7)[0].splitlines()) == 8


def test_keys_are_unsorted_and_cells_are_as_varied_as_in_real_files() -> None:
    data, _ = sample(MEMBER, 2_000, bad=0, duplicates=0)
    rows = list(csv.DictReader(io.StringIO(data.decode())))
    keys = [row["member_id"] for row in rows]
    assert len(set(keys)) == len(keys)
    assert keys != sorted(keys)
    ascents = sum(left < right for left, right in pairwise(keys))
    assert 0.4 < ascents / len(keys) < 0.6
    assert 0.25 < sum("," in row["address"] for row in rows) / len(rows) < 0.45
    assert any('"' in row["address"] for row in rows)


def test_record_numbers_never_meet() -> None:
    numbers = sampling._numbers(0, 200_000, seed=5)
    assert len(np.unique(numbers)) == len(numbers)
    assert 0 <= numbers.min() <= numbers.max() < 2**32
    assert (numbers[1_000:] == sampling._numbers(1_000, 199_000, seed=5)).all()


def test_no_truth_is_needed() -> None:
    output = io.BytesIO()
    write_sample(MEMBER, 50, output=output)
    assert output.getvalue() == sample(MEMBER, 50)[0]


@pytest.mark.parametrize("kind", [MEMBER, EVERYTHING])
def test_a_template_is_a_header_and_good_records(kind: RecordType) -> None:
    rows = list(csv.reader(io.StringIO(template(kind))))
    assert rows[0] == list(kind.columns)
    assert len(rows) == 3
    assert all(len(row) == len(rows[0]) for row in rows)
    if kind is MEMBER:
        assert judged(template(kind).encode()) == {}


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"schema": schema(id=dy.Date(nullable=False))}, "no column of the key .* takes a number of any size"),
        ({"schema": schema(id=dy.String(nullable=False, max_length=3))}, "no column of the key"),
        ({"schema": schema(id=dy.Int64(nullable=False, check=lambda c: c > 3))}, "no column of the key"),
        ({"schema": schema(id=ID, code=dy.String(nullable=False, regex="^x$"))}, "no cell can be guessed for .*'code'"),
        (
            {"rules": (BusinessRule(code="BIZ_1", message="no", fields=(), violated=pl.col("id") != ""),)},
            "no record can be guessed that keeps the business rules",
        ),
        ({"sample": lambda numbers, _: pl.DataFrame({"id": ["a\nb"] * len(numbers), "size": ["1"]})}, "line ends"),
        (
            {"sample": lambda numbers, _: pl.DataFrame({"id": [",a"] * len(numbers), "size": ["1"]})},
            "begin with a comma",
        ),
    ],
)
def test_what_no_file_can_be_made_of_is_told(changes: dict[str, Any], problem: str) -> None:
    with pytest.raises(Fatal, match=problem):
        write_sample(record_type(**changes), 1, output=io.BytesIO())


def test_a_file_of_one_column_has_no_blank_lines() -> None:
    data, _ = sample(record_type(schema=schema(id=ID)), 500, bad=0.5)
    assert all(data.splitlines())
