"""The digest of a file is that of all its bytes, however it is read and whatever is in it."""

import hashlib

from hypothesis import given, reject

from splitter.content import Hashed
from splitter.header import FileRejected
from splitter.limits import Limits
from splitter.reader import open_reading
from tests.unit.splitter.support import THING, Chopped, block_sizes, chops, files, limits


@given(files(), limits, block_sizes, chops)
def test_reading_to_the_end_hashes_every_byte_once(
    data: bytes, limits: Limits, block_bytes: int, chops: list[int]
) -> None:
    stream = Hashed(Chopped(data, chops))
    try:
        for _ in open_reading(stream, THING, limits, block_bytes):
            pass
    except FileRejected:
        reject()
    assert stream.sha256 == hashlib.sha256(data).digest()
