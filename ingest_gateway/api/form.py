"""A file inside a form (multipart/form-data), taken out as the body comes, never held whole."""

from collections.abc import Iterator

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

_FILE = b"file"


class NoForm(ValueError):
    """The body is no form with one file in a part `file`; says why."""


class FileInForm:
    """Takes the bytes of a form as they come and gives those of the file in its part `file`; other parts are ignored.

    Args:
        content_type: the request's header, with the boundary.

    Raises:
        NoForm: there is no boundary, or an impossible one.
    """

    def __init__(self, content_type: str) -> None:
        _, options = parse_options_header(content_type)
        boundary = options.get(b"boundary")
        if not boundary:
            raise NoForm("the header Content-Type names no boundary")
        self.filename: str | None = None
        self.found = self._in_file = self._ended = False
        self._header, self._value = bytearray(), bytearray()
        self._disposition = b""
        self._pieces: list[bytes] = []
        try:
            self._parser = MultipartParser(
                boundary,
                {
                    "on_part_begin": self._part_begins,
                    "on_header_field": lambda data, start, end: self._header.extend(data[start:end]),
                    "on_header_value": lambda data, start, end: self._value.extend(data[start:end]),
                    "on_header_end": self._header_ends,
                    "on_headers_finished": self._data_begins,
                    "on_part_data": self._data,
                    "on_part_end": self._part_ends,
                    "on_end": self._all_ends,
                },
            )
        except FormParserError as error:
            raise NoForm(str(error)) from error

    def take(self, body: bytes) -> Iterator[bytes]:
        """The bytes of the file that these bytes of the body hold.

        Raises:
            NoForm: this is no form.
        """
        try:
            self._parser.write(body)
        except FormParserError as error:
            raise NoForm(str(error)) from error
        yield from self._pieces
        self._pieces.clear()

    def end(self) -> None:
        """Say that the body has ended.

        Raises:
            NoForm: the form has not, or it had no file.
        """
        if not self._ended:
            raise NoForm("the form ends before its last boundary")
        if not self.found:
            raise NoForm("the form has no part `file` with a file in it")

    def _part_begins(self) -> None:
        self._disposition = b""

    def _header_ends(self) -> None:
        if self._header.lower() == b"content-disposition":
            self._disposition = bytes(self._value)
        self._header, self._value = bytearray(), bytearray()

    def _data_begins(self) -> None:
        kind, options = parse_options_header(self._disposition)
        self._in_file = kind == b"form-data" and options.get(b"name") == _FILE
        if not self._in_file:
            return
        if self.found:
            raise FormParserError("the form has two parts `file`; send one file a request")
        self.found = True
        name = options.get(b"filename")
        self.filename = name.decode("utf-8", "replace") if name else None

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._in_file:
            self._pieces.append(data[start:end])

    def _part_ends(self) -> None:
        self._in_file = False

    def _all_ends(self) -> None:
        self._ended = True
