"""A file inside a form, whatever the pieces in which the form comes."""

import pytest

from ingest_gateway.api.form import FileInForm, NoForm

TYPE = 'multipart/form-data; boundary="x y"'
FILE = b"a,b\r\n--x\r\n--x y-\r\n1,2\r\n"
FORM = (
    b'--x y\r\nContent-Disposition: form-data; name="note"\r\n\r\nfile\r\n'
    b"--x y\r\nContent-Type: text/csv\r\n"
    b'content-disposition: form-data; name="file"; filename="M\xc3\xa4rz.csv"\r\n\r\n' + FILE + b"\r\n--x y--\r\n"
)


def taken(form: FileInForm, body: bytes, size: int) -> bytes:
    return b"".join(piece for at in range(0, len(body), size) for piece in form.take(body[at : at + size]))


@pytest.mark.parametrize("size", [1, 2, 3, 7, 50, 10_000])
def test_the_file_is_what_stands_between_the_boundaries(size: int) -> None:
    form = FileInForm(TYPE)
    assert taken(form, FORM, size) == FILE
    form.end()
    assert form.filename == "März.csv"


@pytest.mark.parametrize("end", range(0, len(FORM) - 6, 9))
def test_a_form_that_breaks_off_is_none(end: int) -> None:
    form = FileInForm(TYPE)
    taken(form, FORM[:end], 64)
    with pytest.raises(NoForm, match="ends before"):
        form.end()


@pytest.mark.parametrize(
    "body",
    [
        b"nonsense",
        b"--other\r\n",
        b"--x y\r\n" + b"a" * 100_000 + b": b\r\n",
        b"--x y\r\n" + b"A: b\r\n" * 10_000,
        b"--x y\r\nA b\r\n\r\n",
    ],
)
def test_what_is_no_form_is_told_and_never_held(body: bytes) -> None:
    with pytest.raises(NoForm):
        taken(FileInForm(TYPE), body, 1_000)


@pytest.mark.parametrize(
    "content_type", ["multipart/form-data", "multipart/form-data; boundary=", "x; boundary=" + "x" * 999]
)
def test_a_form_needs_a_boundary(content_type: str) -> None:
    with pytest.raises(NoForm):
        FileInForm(content_type)


@pytest.mark.parametrize("name", [b"../../etc/passwd", b"\xff\xfe", b"x" * 3_000])
def test_a_name_is_only_data(name: bytes) -> None:
    form = FileInForm(TYPE)
    head = b'--x y\r\nContent-Disposition: form-data; name="file"; filename="' + name + b'"\r\n\r\n'
    assert taken(form, head, 100) == b""
    assert form.filename is not None
