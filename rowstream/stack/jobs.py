"""The jobs of `bootstrap` as parts: done once, before the services start."""

import sys
from collections.abc import Mapping

from rowstream.stack.part import Part
from rowstream.stack.state_dir import StateDir

DATABASE_JOB = "prepare-database"


def job_part(job: str, state: StateDir, *, environment: Mapping[str, str], needs: tuple[str, ...]) -> Part:
    """The job named `job` (see `bootstrap.JOBS`), which has to succeed once."""
    return Part(
        name=f"prepare-{job}",
        command=(sys.executable, "-P", "-m", "rowstream.stack.bootstrap", job, str(state.path)),
        environment=environment,
        needs=needs,
        niceness=10,  # on a later start it only checks, and should not delay the services
        once=True,
    )
