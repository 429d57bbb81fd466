"""The programs that tests need and Python's packages do not bring: fetched once by name, and kept in a folder.

The folder is `~/.cache/rowstream-tests`, or ROWSTREAM_TESTS_CACHE. Several test runs may ask at once: the first one
fetches, the others wait for it.
"""

import fcntl
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest

KAFKA_VERSION = "4.3.1"
VERSITYGW = "github.com/versity/versitygw/cmd/versitygw"
TOXIPROXY = "github.com/Shopify/toxiproxy/v2/cmd/server"
_FETCH_SECONDS = 900
_POM = f"""<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>rowstream</groupId><artifactId>tests</artifactId><version>1</version><packaging>pom</packaging>
  <dependencies><dependency>
    <groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>{KAFKA_VERSION}</version>
  </dependency><dependency>
    <groupId>org.slf4j</groupId><artifactId>slf4j-simple</artifactId><version>1.7.36</version>
  </dependency></dependencies>
</project>
"""


def lacking(reason: str) -> NoReturn:
    """Skip the test, since something is not installed here; where CI=true, fail it: CI skips nothing."""
    if os.environ.get("CI", "").lower() == "true":
        pytest.fail(f"{reason}, and CI skips nothing")
    pytest.skip(reason)


def program(name: str, needed_for: str) -> str:
    """The path of an installed program; skips the test (fails it in CI) where it is missing."""
    found = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin")
    if found is None:
        lacking(f"no {name} here, which {needed_for} needs")
    return found


def kafka_jars() -> Path:
    """The folder of Apache Kafka's jars, from Maven Central."""
    program("java", "Apache Kafka")
    return kept(f"kafka-{KAFKA_VERSION}", _fetch_kafka)


def go_program(package: str, name: str) -> Path:
    """A program written in Go, built from its newest release; `name` is how the build calls it."""
    return kept(f"go-{package.replace('/', '-')}", lambda folder: _build(package, folder)) / name


def faketime_library() -> Path:
    """The library that gives a process another clock, from Debian: the installed one, or one that is only unpacked."""
    if installed := next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None):
        return installed
    program("apt-get", "libfaketime")
    (found,) = kept("libfaketime", _fetch_faketime).rglob("libfaketimeMT.so.1")
    return found


def kept(name: str, fetch: Callable[[Path], None]) -> Path:
    """The folder `name` of the cache; `fetch` fills it the first time, all of it or nothing."""
    cache = Path(os.environ.get("ROWSTREAM_TESTS_CACHE") or Path.home() / ".cache" / "rowstream-tests")
    cache.mkdir(parents=True, exist_ok=True)
    there = cache / name
    with (cache / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not there.exists():
            with tempfile.TemporaryDirectory(dir=cache, ignore_cleanup_errors=True) as folder:
                fresh = Path(folder) / name
                fresh.mkdir()
                fetch(fresh)
                fresh.rename(there)
    return there


def _fetch_kafka(folder: Path) -> None:
    maven = program("mvn", "Apache Kafka (its jars)")
    with tempfile.TemporaryDirectory(prefix="rowstream-maven-") as project:
        (Path(project) / "pom.xml").write_text(_POM)
        _run([maven, "-q", "-B", "dependency:copy-dependencies", f"-DoutputDirectory={folder}"], project)


def _fetch_faketime(folder: Path) -> None:
    _run(["apt-get", "download", "libfaketime"], str(folder))
    (package,) = folder.glob("*.deb")
    _run(["dpkg", "-x", package.name, "."], str(folder))


def _build(package: str, folder: Path) -> None:
    go = program("go", package)
    _run([go, "install", f"{package}@latest"], str(folder), GOBIN=str(folder))


def _run(command: list[str], folder: str, **environment: str) -> None:
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=_FETCH_SECONDS,
        check=False,
    )
    if done.returncode:
        raise AssertionError(f"{' '.join(command)}: {(done.stdout + done.stderr)[-2000:]}")


def false_clock(file: Path) -> dict[str, str]:
    """What makes a process go by the clock that a file tells (`+1h`, `+0`); its monotonic clock stays the true one."""
    return {
        "LD_PRELOAD": str(faketime_library()),
        "FAKETIME_TIMESTAMP_FILE": str(file),
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "FAKETIME_CACHE_DURATION": "1",
    }
