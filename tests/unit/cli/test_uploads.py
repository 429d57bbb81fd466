from pathlib import Path

import pytest
import typer

from rowstream.cli import uploads
from rowstream.cli.options import DEFAULT_STATE_DIR


@pytest.mark.parametrize(
    ("state_dir", "command"),
    [(DEFAULT_STATE_DIR, "rowstream status u1 shows"), (Path("/a b"), "rowstream status u1 --state-dir '/a b' shows")],
)
def test_to_leave_off_waiting_is_not_to_cancel(
    state_dir: Path, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(typer.Exit) as left, uploads._going_on("u1", state_dir):
        raise KeyboardInterrupt
    assert left.value.exit_code == 130
    assert capsys.readouterr().err == f"the upload goes on; {command} how\n"


def test_an_empty_list_says_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    uploads._list({"items": [], "next_cursor": None}, json=False)
    assert capsys.readouterr().out.startswith("no uploads yet; `rowstream upload FILE")
