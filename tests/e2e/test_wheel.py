"""The wheel by itself: in an environment without the checkout and without anything that it does not ask for."""

import importlib.metadata
import os
import subprocess
import sys
import sysconfig
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement

CHECKOUT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    pip(sys.executable, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder), str(CHECKOUT))
    (made,) = folder.glob("rowstream-*.whl")
    return made


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment with the wheel and, as links to what is installed here, just the parts that it names.

    Downloading them again would take minutes and show nothing more.
    """
    folder = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    python = folder / "bin" / "python"
    pip(sys.executable, "--python", str(python), "install", "--no-deps", "--no-index", str(wheel))
    (site,) = folder.glob("lib/python*/site-packages")
    for name in needed_by(site / f"rowstream-{importlib.metadata.version('rowstream')}.dist-info"):
        for source in top_level(name):
            if not (site / source.name).exists():
                (site / source.name).symlink_to(source)
    return folder


def pip(python: str, *arguments: str) -> None:
    subprocess.run([python, "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments], check=True)


def needed_by(dist_info: Path) -> set[str]:
    """The names of all distributions that the wheel asks for, and that those ask for, and so on."""
    found: set[str] = set()
    wheel: importlib.metadata.Distribution = importlib.metadata.PathDistribution(dist_info)
    waiting = [(wheel, frozenset[str]())]
    while waiting:
        distribution, extras = waiting.pop()
        for requirement in map(Requirement, distribution.requires or ()):
            if wanted(requirement, extras) and requirement.name.lower() not in found:
                found.add(requirement.name.lower())
                waiting.append((importlib.metadata.distribution(requirement.name), frozenset(requirement.extras)))
    return found


def wanted(requirement: Requirement, extras: frozenset[str]) -> bool:
    here = {name: str(value) for name, value in default_environment().items()}
    return requirement.marker is None or any(
        requirement.marker.evaluate({**here, "extra": extra}) for extra in (extras or {""})
    )


def top_level(name: str) -> Iterator[Path]:
    """The files and folders that a distribution has in site-packages."""
    site = Path(sysconfig.get_path("purelib"))
    files = importlib.metadata.distribution(name).files or ()
    yield from (site / first for first in {file.parts[0] for file in files} if first not in {"..", "__pycache__"})


def run(environment: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
    command = [str(environment / "bin" / arguments[0]), *arguments[1:]]
    return subprocess.run(command, cwd=folder, env=kept, capture_output=True, text=True, check=False)


def test_the_wheel_tells_type_checkers_that_it_is_typed(wheel: Path) -> None:
    assert "rowstream/py.typed" in zipfile.ZipFile(wheel).namelist()


def test_nothing_of_the_checkout_is_seen(environment: Path, tmp_path: Path) -> None:
    seen = run(environment, tmp_path, "python", "-c", "import rowstream, schemas, pytest")
    assert "No module named 'pytest'" in seen.stderr
    modules = "rowstream.records, ingest_gateway, splitter, record_processor, auditor, record_types, schemas"
    shown = run(environment, tmp_path, "python", "-c", f"import sys, {modules}; print(sys.path, sys.modules)")
    assert shown.returncode == 0, shown.stderr
    assert str(CHECKOUT) not in shown.stdout


def test_the_demo_of_the_wheel_does_the_same_with_the_member_file_alone_and_leaves_nothing_behind(
    environment: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with tempfile.TemporaryDirectory(prefix="rowstream-test-") as folder:
        monkeypatch.setenv("TMPDIR", folder)
        shown = run(environment, tmp_path, "rowstream", "demo")
        assert list(Path(folder).iterdir()) == []
    assert shown.returncode == 0, shown.stdout + shown.stderr
    assert "✓ members.csv completed: 20,000 records in " in shown.stdout
    assert "✓ members.csv: 19,695 records loaded; the 305 rejected are exactly the planted ones\n" in shown.stdout
    assert "✓ every record has exactly one outcome" in shown.stdout
    assert "is removed\n" in shown.stdout
    assert "flights.csv is left out: the record type is not installed" in shown.stdout
    assert list(tmp_path.iterdir()) == []
