"""Which chunks can be worked in one transaction."""

from dataclasses import replace
from uuid import UUID

import pytest

from record_processor.batch import ChunkInHand, read
from record_processor.service import groups
from rowstream.messages.record_chunk import RecordChunk
from rowstream.records import registry
from tests.uploads import chunks_of, members, received

CHUNKS = chunks_of(members(5), UUID(int=1), chunk_records=1)
OTHER = UUID(int=99)


class NoSchemas:
    def find(self, fingerprint: bytes) -> None:
        """Nothing is registered: every schema is ours."""


def hand(chunk: RecordChunk, *, readable: bool = True) -> ChunkInHand:
    return read(received(chunk, body=None if readable else b"?"), NoSchemas())


def seqs(found: list[list[ChunkInHand]]) -> list[list[int]]:
    return [[one.chunk.lane_seq for one in group] for group in found]


@pytest.fixture(autouse=True)
def _two_types(monkeypatch: pytest.MonkeyPatch) -> None:
    known = registry.record_types()["member_certification"]
    monkeypatch.setattr(registry, "record_types", lambda: {"member_certification": known, "second": known})


def test_nothing_is_no_group() -> None:
    assert list(groups([])) == []


def test_one_kind_is_one_group_in_its_order() -> None:
    assert seqs(list(groups(hand(chunk) for chunk in CHUNKS))) == [[0, 1, 2, 3, 4]]


def test_record_types_versions_and_organizations_are_apart() -> None:
    first, second, third, fourth, fifth = CHUNKS
    mixed = [
        first,
        replace(second, organization_id=OTHER),
        replace(third, record_type="second"),
        fourth,
        replace(fifth, record_type_version=2),
        replace(first, organization_id=OTHER, lane_seq=7),
    ]
    assert seqs(list(groups(map(hand, mixed)))) == [[0, 3], [1, 7], [2], [4]]


def test_an_unreadable_chunk_is_alone_and_behind_what_came_before_it() -> None:
    hands = [hand(chunk, readable=chunk.lane_seq != 2) for chunk in CHUNKS]
    assert seqs(list(groups(hands))) == [[0, 1], [2], [3, 4]]
    assert seqs(list(groups(hand(chunk, readable=False) for chunk in CHUNKS[:3]))) == [[0], [1], [2]]


def test_an_unknown_type_is_alone_as_well() -> None:
    hands = [hand(replace(chunk, record_type="third") if chunk.lane_seq == 1 else chunk) for chunk in CHUNKS]
    assert seqs(list(groups(hands))) == [[0], [1], [2, 3, 4]]
