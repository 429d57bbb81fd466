"""What a plan pins, and that every chunk it allows fits into a message."""

import io
import json
from uuid import UUID

import pytest

from rowstream.errors import Fatal
from rowstream.messages import codec
from rowstream.records import registry
from rowstream.runtime.settings import KafkaSettings
from splitter.header import Column
from splitter.limits import Limits
from splitter.plan import Plan, check_sizes, lanes_for, limits_of, make_plan, records_per_chunk
from splitter.reader import open_reading
from splitter.settings import SplitterSettings, SplitterSlice
from tests.uploads import HEADER, chunks_of, members

MEMBERS = registry.find("member_certification")


def settings_with(**ours: int) -> SplitterSettings:
    return SplitterSettings.load(splitter=ours)


@pytest.mark.parametrize(
    ("size", "lanes"),
    [(0, 1), (1, 1), (1_999_999, 1), (3_999_999, 1), (4_000_000, 2), (9_000_000, 4), (16_000_000, 8), (10**12, 8)],
)
def test_lanes_follow_the_files_size(size: int, lanes: int) -> None:
    assert lanes_for(size, SplitterSlice()) == lanes


def test_what_fits_in_one_chunk_is_one_chunk() -> None:
    ours = SplitterSlice()
    assert lanes_for(ours.chunk_bytes * 2, ours) == 1


def test_a_plan_is_read_as_it_was_stored() -> None:
    plan = make_plan(
        etag="e",
        size_bytes=9_000_000,
        columns=(Column("Member ID", "member_id"), Column("Note", None)),
        record_type=MEMBERS,
        partitions=8,
        limits=Limits(max_columns=7),
        settings=SplitterSlice(chunk_records=500),
    )
    assert (plan.lanes, plan.partitions, plan.chunk_records, plan.record_type_version) == (4, 8, 500, 1)
    assert plan.columns == [{"header": "Member ID", "name": "member_id"}, {"header": "Note", "name": None}]
    stored = json.loads(json.dumps(plan.stored()))
    assert Plan.read(stored) == plan
    assert Plan.read(stored | {"parser_rules": 1}).parser_rules == 1
    assert Limits(**Plan.read(stored).limits).max_columns == 7


def test_a_plan_by_other_rules_of_reading_is_refused() -> None:
    with pytest.raises(Fatal, match="parser rules 99, this splitter has 1"):
        Plan.read({"parser_rules": 99})


def test_the_limits_are_those_of_the_settings() -> None:
    limits = limits_of(SplitterSlice(max_record_bytes=2_000, max_columns=9))
    assert (limits.max_record_bytes, limits.max_columns, limits.max_header_bytes) == (2_000, 9, 2_000)


def test_a_record_must_be_smaller_than_a_chunk() -> None:
    with pytest.raises(Fatal, match=r"MAX_RECORD_BYTES \(400000\) must be below ROWSTREAM_SPLITTER__CHUNK_BYTES"):
        limits_of(SplitterSlice(max_record_bytes=400_000))
    limits_of(SplitterSlice(max_record_bytes=399_999))


@pytest.mark.parametrize("ours", [{}, {"chunk_bytes": 500_000}, {"chunk_bytes": 300_000, "max_columns": 2_000}])
def test_sizes_that_fit_are_taken(ours: dict[str, int]) -> None:
    check_sizes(settings_with(**ours))


@pytest.mark.parametrize("ours", [{"chunk_bytes": 600_000}, {"max_columns": 3_000}, {"max_record_bytes": 400_000}])
def test_chunks_must_fit_into_messages_before_the_first_is_sent(ours: dict[str, int]) -> None:
    with pytest.raises(Fatal, match="ROWSTREAM_SPLITTER__"):
        check_sizes(settings_with(**ours))


@pytest.mark.parametrize(
    ("columns", "cell", "header"),
    [(20, "y" * 390, "c"), (51, "", "c"), (300, "x", "c"), (1_000, "", "h" * 55), (1_000, "x", "c")],
)
def test_whatever_the_columns_no_chunk_outgrows_a_message(columns: int, cell: str, header: str) -> None:
    further = [f"{header}{number}" for number in range(columns - len(HEADER))]
    record = ["M", "C", "a@b", "2026-01-31", "recertification", "1", "n", *([cell] * len(further))]
    rows = SplitterSlice().chunk_records + 10
    data = "\n".join([",".join([*HEADER, *further]), *([",".join(record)] * rows)]).encode()
    chunks = chunks_of(data, UUID(int=1), organization=UUID(int=2))
    assert sum(chunk.record_count for chunk in chunks) == rows
    largest = max(len(codec.encode(chunk)) for chunk in chunks)
    assert largest + 4_096 < KafkaSettings().max_message_bytes  # and its headers


def test_a_file_of_few_columns_has_full_chunks() -> None:
    assert records_per_chunk(20, SplitterSlice()) == 1_000
    assert records_per_chunk(50, SplitterSlice()) == 1_000
    assert records_per_chunk(100, SplitterSlice()) == 500
    assert records_per_chunk(10**6, SplitterSlice()) == 1
    assert [chunk.record_count for chunk in chunks_of(members(2_500), UUID(int=1))] == [1_000, 1_000, 500]


def test_the_plan_knows_the_columns_that_the_file_has() -> None:
    reading = open_reading(io.BytesIO(members(1)), MEMBERS, Limits())
    plan = make_plan(
        etag="e", size_bytes=1, columns=reading.columns, record_type=MEMBERS, partitions=1, limits=Limits(),
        settings=SplitterSlice(),
    )  # fmt: skip
    assert [column["header"] for column in plan.columns] == list(HEADER)
