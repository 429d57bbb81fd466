import io

import pytest

from splitter.lookahead import Lookahead
from tests.unit.splitter.support import Chopped


def test_fill_reads_as_much_as_is_needed_however_little_comes_at_a_time() -> None:
    source = Lookahead(Chopped(b"abcdefgh", [1]), 2)
    source.fill(5)
    assert source.data == b"abcde"
    source.advance_to(4)
    source.fill(2)
    assert (source.data[source.at :], source.offset) == (b"efg", 4)
    assert not source.ended
    source.fill(100)
    assert (source.data[source.at :], source.ended) == (b"efgh", True)


@pytest.mark.parametrize("end", [b"\n", b"\r", b"\r\n", b""])
@pytest.mark.parametrize("length", range(6))
@pytest.mark.parametrize("read_bytes", [1, 2, 3])
def test_skip_line_ends_behind_the_line_end(end: bytes, length: int, read_bytes: int) -> None:
    rest = b"\nnext" if end else b""
    source = Lookahead(io.BytesIO(b"x" * length + end + rest), read_bytes)
    source.fill(1)
    source.skip_line(0)
    assert source.offset == length + len(end) + (1 if end == b"\r" else 0)  # a CR before this LF is a CRLF
    assert source.exhausted == (not end)


def test_skip_line_holds_no_more_than_it_reads() -> None:
    source = Lookahead(io.BytesIO(b"x" * 100_000 + b"\ny"), 100)
    source.fill(1)
    source.skip_line(0)
    assert source.offset == 100_001
    assert len(source.data) <= 200
