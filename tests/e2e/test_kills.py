"""Whichever part is killed in the middle of an upload: it comes back alone, and the upload ends as it would have.

On real servers: see test_real_servers.py.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bench.workload import hand_in
from tests.kills import SERVICES, SETTINGS, an_upload_survives
from tests.whole_system import System, running

PARTS = (*SERVICES, "postgres", "localbucket", "tansu")  # the last may have a service start again later, too


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    with running(tmp_path_factory.mktemp("kills") / "state", settings=SETTINGS) as system:
        yield system


@pytest.mark.parametrize("part", PARTS)
def test_an_upload_survives_the_death_of(part: str, system: System, tmp_path: Path) -> None:
    with system.api as api:
        an_upload_survives(part, system, tmp_path, lambda file: hand_in(api, file))
