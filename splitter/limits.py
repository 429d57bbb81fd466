"""How much of a file may be one thing: a record, a header, a rejection. Part of what a plan pins."""

from dataclasses import dataclass

from rowstream.errors import Fatal


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Bounds of reading; all memory that reading takes follows from them and from the size of a block.

    Attributes:
        max_record_bytes: Bytes of a record from its first to the last before its line end.
        max_raw_chars: Characters of a rejected record's raw text that are kept.
        max_columns: Columns of a header.
        max_header_bytes: Bytes of a header; no more than a record may have.

    Raises:
        Fatal: A limit is below 1, or a header may be longer than a record.
    """

    max_record_bytes: int = 262_144
    max_raw_chars: int = 2_000
    max_columns: int = 1_000
    max_header_bytes: int = 65_536

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if value < 1:
                raise Fatal(f"The limit {name} is {value}: it must be 1 or more")
        if self.max_header_bytes > self.max_record_bytes:
            raise Fatal(
                f"The limit max_header_bytes ({self.max_header_bytes}) is above max_record_bytes "
                f"({self.max_record_bytes}): lower the first or raise the second"
            )

    @property
    def lookahead_bytes(self) -> int:
        """Bytes to see from a record's start, so that its end, or that it is too large, and its raw text are known.

        Two more than the record's own tell a CRLF beside its end; a character of raw text is at most four bytes, and
        one more shows that the text had to be cut.
        """
        return max(self.max_record_bytes + 2, 4 * (self.max_raw_chars + 1))
