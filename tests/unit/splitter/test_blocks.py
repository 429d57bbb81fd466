import pytest

from splitter.blocks import CleanBlock, prove


def proved(data: bytes, *, last: bool = True, max_record_bytes: int = 100) -> CleanBlock | None:
    return prove(data, last=last, max_record_bytes=max_record_bytes)


@pytest.mark.parametrize(
    "data",
    [
        b"1,2\n",
        b"1,2",
        b"1,2\r\n3,4\r\n",
        b'1,"a,b",x\n2,"say ""hi""",y\n',
        b'"""",""\n"","a\nb\n\nc"\n""',
        b'"a\r\nb",\n',
        b'"a""\n""b",\n',
        "é,\ufeff\n".encode(),
        b" \n",
        b",\n",
    ],
)
def test_clean(data: bytes) -> None:
    block = proved(data)
    assert block is not None
    assert block.size == len(data)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"1,\0\n", id="NUL"),
        pytest.param(b"1,\xff\n", id="not UTF-8"),
        pytest.param(b"1,\xc3\n", id="half a character"),
        pytest.param(b"1,2\n\n3,4\n", id="blank line"),
        pytest.param(b"\n3,4\n", id="blank line first"),
        pytest.param(b"1,2\r\n\r\n", id="blank line of CRLF"),
        pytest.param(b"1,2\r3,4\n", id="lone CR"),
        pytest.param(b'"1\r2",3\n', id="lone CR in quotes"),
        pytest.param(b"1,2\r", id="lone CR at the end"),
        pytest.param(b'1,5" x 7",z\n', id="quote inside a bare cell"),
        pytest.param(b'1,"a"b,z\n', id="text behind a closing quote"),
        pytest.param(b'1,"a" ,z\n', id="space behind a closing quote"),
        pytest.param(b'1, "a",z\n', id="space before an opening quote"),
        pytest.param(b'1,"a\n', id="quote never closed"),
        pytest.param(b'1,"abc,x\n2,"def",y\n4,ghi",z\n', id="quote that a later one closes"),
        pytest.param(b'"abc""\n', id="doubled quote at the end"),
        pytest.param(b"\xef\xbb\xbf1,2\n", id="what looks like a byte order mark"),
        pytest.param(b"1,2\n" + b"x" * 101 + b"\n", id="record above the limit"),
        pytest.param(b"x" * 101, id="record above the limit, without line end"),
    ],
)
def test_doubtful(data: bytes) -> None:
    assert proved(data) is None


def test_a_block_ends_where_its_last_whole_record_does() -> None:
    data = b'1,2\n3,"a\nb"\n5,"c\n'
    block = proved(data, last=False)
    assert block is not None
    assert block.size == 12
    assert block.ends.tolist() == [3, 11]
    assert [block.raw_record(index) for index in range(2)] == [b"1,2", b'3,"a\nb"']


def test_a_block_without_a_whole_record_is_doubtful() -> None:
    assert proved(b"1,2", last=False) is None
    assert proved(b'"1\n2', last=False) is None


def test_the_last_record_may_lack_its_line_end() -> None:
    block = proved(b"1\r\n22", last=True)
    assert block is not None
    assert [block.raw_record(index) for index in range(2)] == [b"1", b"22"]


def test_what_is_wrong_behind_the_block_does_not_make_it_doubtful() -> None:
    for rest in (b'x"y', b"\0", b"\xff", b"\r", b"x" * 101):
        block = proved(b"1,2\n3,4\n" + rest, last=False)
        assert block is not None, rest
        assert block.size == 8


def test_a_record_may_be_as_long_as_the_limit() -> None:
    assert proved(b"x" * 100 + b"\n") is not None


def test_a_block_has_no_more_records_than_a_batch_may(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("splitter.blocks.MAX_BATCH_RECORDS", 3)
    block = proved(b"1\n" * 10)
    assert block is not None
    assert (block.size, block.ends.size) == (6, 3)
