"""Builds the auditor's adapters and hands them to the service."""

from rowstream.runtime import imports

# isort: split
from auditor.service import run
from auditor.settings import AuditorSettings
from rowstream.database.connection import AUDITOR_ROLE, IDLE_SECONDS, make_engine
from rowstream.runtime.health import Health
from rowstream.runtime.service import running

_LEAST_POOL = 3
"""Doubled at need, for five at once: one folds results; reconciler and control hold one each and work with another."""


def main() -> None:
    """Run one auditor until SIGTERM."""
    imports.done()
    settings = AuditorSettings.load()
    with running("auditor", settings, Health("broker", "database")) as service:
        engine = make_engine(
            settings.database.url.get_secret_value(),
            role=AUDITOR_ROLE,
            service="auditor",
            pool_size=max(settings.database.pool_size, _LEAST_POOL),
            idle_seconds=IDLE_SECONDS,
        )
        run(service, settings, engine)
        engine.dispose()


if __name__ == "__main__":
    main()
