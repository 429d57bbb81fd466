from pathlib import Path

import pytest

from rowstream.stack import fingerprint as module
from rowstream.stack.fingerprint import fingerprint, is_prepared, note_prepared
from rowstream.stack.state_dir import StateDir


@pytest.fixture
def state(tmp_path: Path) -> StateDir:
    return StateDir(tmp_path)


def test_a_database_is_prepared_once_it_was_by_this_code(state: StateDir) -> None:
    (state.path / "postgres" / "data").mkdir(parents=True)
    assert not is_prepared(state)
    note_prepared(state)
    assert is_prepared(state)
    (state.path / "postgres" / "data").rmdir()
    assert not is_prepared(state)


def test_code_of_tables_and_record_types_counts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    names = {file.name for file in module._files()}
    assert {"tables.py", "record_tables.py", "member_certification.py"} <= names

    changing = tmp_path / "changing.py"
    monkeypatch.setattr(module, "_files", lambda: iter([changing]))
    changing.write_text("a")
    before = fingerprint()
    assert fingerprint() == before
    changing.write_text("b")
    assert fingerprint() != before
