"""A small record type, and ways to read a file that must not make a difference."""

import io
from unittest import mock

import dataframely as dy
import hypothesis.strategies as st

from rowstream.records import RecordType
from splitter.batch import ParseRejection
from splitter.careful_reader import CarefulReader
from splitter.header import Header, read_header
from splitter.limits import Limits
from splitter.lookahead import Lookahead
from splitter.reader import Batch, open_reading
from tests.reference import csv_reader

HEADER = b"id,number,note\n"
ROOMY = Limits()


class ThingColumns(dy.Schema):
    """Two columns make the key; one of them is a number, which can be written in more than one way."""

    id = dy.String(nullable=False)
    number = dy.Int64(nullable=False)
    note = dy.String(nullable=True)


THING = RecordType(
    name="thing",
    version=1,
    title="Things",
    table="things",
    schema=ThingColumns,
    key=("id", "number"),
    spellings={"note": ("remark",)},
)

held_from_the_start_is_little = mock.patch("splitter.header.SNIFF_BYTES", 16)
"""A small file would otherwise be in memory once its kind is told, and no edge of what is held would ever be met."""

Outcome = tuple[list[tuple[int, list[str]]], list[ParseRejection]]


class Chopped:
    """A file whose `read` gives no more than it likes: the sizes, over and over."""

    def __init__(self, data: bytes, sizes: list[int]) -> None:
        self._data = io.BytesIO(data)
        self._sizes = sizes
        self._reads = 0
        self.most = 0

    def read(self, size: int, /) -> bytes:
        self.most = max(self.most, size)
        take = min(size, self._sizes[self._reads % len(self._sizes)])
        self._reads += 1
        return self._data.read(take)


def outcome(batches: list[Batch]) -> Outcome:
    """Rows by number, and rejections."""
    rows = []
    for batch in batches:
        table = batch.records
        assert all(column.null_count == 0 for column in table.columns)
        numbers, *cells = (column.to_pylist() for column in table.columns)
        rows += [(number, [column[index] for column in cells]) for index, number in enumerate(numbers)]
    return rows, [rejection for batch in batches for rejection in batch.rejections]


def read(data: bytes, limits: Limits = ROOMY, block_bytes: int = 4 << 20, chops: list[int] | None = None) -> Outcome:
    """By the reader, as it is used."""
    with held_from_the_start_is_little:
        reading = open_reading(Chopped(data, chops or [len(data) + 1]), THING, limits, block_bytes)
    return outcome(list(reading))


def read_carefully(source: Lookahead, first_row: int, size: int, header: Header, limits: Limits) -> tuple[Batch, int]:
    """The records that begin in the next `size` bytes, by the careful reader; and the row number that comes next."""
    source.fill(size + limits.lookahead_bytes)
    stop = min(source.at + size, len(source.data))
    careful = CarefulReader(source, first_row, header, limits)
    careful.read_until(stop)
    careful.leave()
    return careful.batch(), careful.row


def read_carefully_only(
    data: bytes, limits: Limits = ROOMY, size: int = 1 << 20, chops: list[int] | None = None
) -> Outcome:
    """By the careful reader, from the first record to the last."""
    source = Lookahead(Chopped(data, chops or [len(data) + 1]), size)
    with held_from_the_start_is_little:
        header = read_header(source, THING, limits)
    row = header.row + 1
    batches = []
    while not source.exhausted:
        batch, row = read_carefully(source, row, size, header, limits)
        batches.append(batch)
    return outcome(batches)


def reference(data: bytes, limits: Limits = ROOMY) -> csv_reader.Read:
    """By the independent reader."""
    return csv_reader.read(data, limits.max_record_bytes, limits.max_header_bytes, limits.max_raw_chars)


def without_messages(outcome: Outcome) -> tuple[list[tuple[int, list[str]]], list[tuple[int, str, str]]]:
    """An outcome as the reference gives it."""
    rows, rejections = outcome
    return rows, [(rejection.row_number, rejection.code, rejection.raw) for rejection in rejections]


_PIECES = [
    b'"',
    b'"',
    b",",
    b"\n",
    b"\r",
    b"\r\n",
    b"\0",
    b"\xff",
    b"\xc3",
    b"\xc3\xa9",
    b"a",
    b"\xef\xbb\xbf",
    b'""',
    b" ",
]
_BARE = st.text("ab1 é'", max_size=4)
_QUOTED = st.text('ab,"\n\r é', max_size=6).map(lambda text: '"' + text.replace('"', '""') + '"')
_RECORD = st.lists(st.one_of(_BARE, _BARE, _QUOTED), min_size=3, max_size=3).map(",".join)
_LINE_END = st.sampled_from(["\n", "\n", "\n", "\r\n"])
_VALID = st.lists(st.tuples(_RECORD, _LINE_END).map("".join), max_size=12).map(lambda lines: "".join(lines).encode())


@st.composite
def _mangled(draw: st.DrawFn) -> bytes:
    data = draw(_VALID)
    for _ in range(draw(st.integers(0, 4))):
        start = draw(st.integers(0, len(data)))
        end = min(start + draw(st.integers(0, 2)), len(data))
        data = data[:start] + draw(st.sampled_from(_PIECES)) + data[end:]
    return data


_SOUP = st.lists(st.sampled_from([*_PIECES, b"a,b", b",,", b"1\n", b'",']), max_size=30).map(b"".join)
_START = st.sampled_from([b"", b"", b"", b"\xef\xbb\xbf", b"\n", b"\r\n\r"])


@st.composite
def files(draw: st.DrawFn) -> bytes:
    """Files with a good header and anything below it: valid records, mangled ones, soup."""
    header = draw(_START) + b"id,number,note" + draw(st.sampled_from([b"\n", b"\r\n", b"\r", b"\n\n"]))
    return header + draw(st.one_of(_VALID, _mangled(), _SOUP))


limits = st.builds(
    Limits,
    max_record_bytes=st.sampled_from([14, 15, 20, 30, 262_144]),
    max_header_bytes=st.just(14),
    max_raw_chars=st.sampled_from([1, 5, 2_000]),
)
block_sizes = st.one_of(st.integers(1, 64), st.sampled_from([200, 4_096]))
chops = st.lists(st.integers(1, 40), min_size=1, max_size=4)
