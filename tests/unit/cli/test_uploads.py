from pathlib import Path

import pytest
import typer

from rowstream.cli import uploads
from rowstream.cli.client import ApiError
from rowstream.cli.options import DEFAULT_STATE_DIR
from rowstream.cli.sending import PARTS_ABOVE, Interrupted
from rowstream.errors import Fatal
from tests.unit.cli.support import run


@pytest.mark.parametrize(
    ("state_dir", "command"),
    [(DEFAULT_STATE_DIR, "rowstream status u1 shows"), (Path("/a b"), "rowstream status u1 --state-dir '/a b' shows")],
)
def test_to_leave_off_waiting_is_not_to_cancel(
    state_dir: Path, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(typer.Exit) as left, uploads.going_on("u1", state_dir):
        raise KeyboardInterrupt
    assert left.value.exit_code == 130
    assert capsys.readouterr().err == f"the upload goes on; {command} how\n"


@pytest.mark.parametrize(
    ("parts_above", "command"),
    [(PARTS_ABOVE, "'a b.csv' --record-type t goes on"), (5, "'a b.csv' --record-type t --parts-above 5 goes on")],
)
def test_what_broke_off_can_be_gone_on_with_by_the_command_that_is_named(
    parts_above: int, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with (
        pytest.raises(typer.Exit) as left,
        uploads.may_be_resumed(Path("a b.csv"), "t", parts_above, DEFAULT_STATE_DIR),
    ):
        raise Interrupted
    assert left.value.exit_code == 130
    assert capsys.readouterr().err == f"what was sent is kept; rowstream upload {command} from there\n"


def test_an_empty_list_says_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    uploads._list({"items": [], "next_cursor": None}, json=False)
    assert capsys.readouterr().out.startswith("no uploads yet; `rowstream upload FILE")


@pytest.mark.parametrize("verb", ["status", "errors"])
def test_what_is_no_id_is_said_without_asking_anybody(verb: str, tmp_path: Path) -> None:
    result = run(verb, "members.csv", ROWSTREAM_STATE_DIR=str(tmp_path))
    assert (result.code, result.out) == (2, "")
    assert result.err == "rowstream: 'members.csv' is no id of an upload; `rowstream status` lists the newest\n"


def test_an_unknown_upload_is_said_in_the_words_of_the_command() -> None:
    unknown = "019c2f6e-5d1b-7cc3-98c4-dc0c0c07398f"
    with pytest.raises(Fatal, match=f"no upload {unknown}; `rowstream status`"), uploads.known(unknown):
        raise ApiError(404, {"detail": "GET /api/v1/batch_uploads lists yours"})


def test_other_refusals_keep_the_words_of_the_api() -> None:
    with pytest.raises(ApiError, match="the key is revoked"), uploads.known(None):
        raise ApiError(401, {"detail": "the key is revoked"})
