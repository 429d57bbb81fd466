"""A stream seen through a bounded look ahead: what is not yet read as records, as far as it is needed."""

from typing import Protocol

from splitter.grammar import LineEnds, after_line_end


class Readable(Protocol):
    """Anything with the `read` of a binary file: at most `size` bytes, empty only at the end."""

    def read(self, size: int, /) -> bytes:
        """The next bytes of the file."""
        ...


class Lookahead:
    """Bytes of a stream from a moving position on.

    Attributes:
        data: A stretch of the stream; changes only in `fill` and `skip_line`.
        at: Where in `data` the unread bytes begin.
        offset: Bytes of the stream before `at`.
        ended: No bytes follow those in `data`.
    """

    def __init__(self, stream: Readable, read_bytes: int) -> None:
        self.data = b""
        self.at = 0
        self.offset = 0
        self.ended = False
        self._stream = stream
        self._read_bytes = read_bytes

    def fill(self, size: int) -> None:
        """Reads until `size` bytes are unread in `data`, or the stream has ended.

        At least `read_bytes` are asked for at a time, so that small steps do not move the same bytes again and again.
        """
        missing = size - (len(self.data) - self.at)
        if missing <= 0 or self.ended:
            return
        missing = max(missing, self._read_bytes)
        parts = [self.data[self.at :]]
        while missing > 0:
            part = self._stream.read(missing)
            if not part:
                self.ended = True
                break
            parts.append(part)
            missing -= len(part)
        self.data = b"".join(parts)
        self.at = 0

    def advance_to(self, position: int) -> None:
        """Everything before that position of `data` is read."""
        self.offset += position - self.at
        self.at = position

    def skip_line(self, position: int) -> None:
        """Goes on behind the first line end (LF, CRLF or CR) at or after that position of `data`, or to the end.

        However long the line is, no more of it is held than is read at a time.
        """
        self.advance_to(position)
        while (end := LineEnds(self.data).after(self.at)) == len(self.data) and not self.ended:
            self.advance_to(end)
            self.fill(self._read_bytes)
        self.advance_to(end)
        self.fill(2)
        self.advance_to(after_line_end(self.data, self.at))

    @property
    def exhausted(self) -> bool:
        """Nothing is left to read."""
        self.fill(1)
        return self.at == len(self.data)
