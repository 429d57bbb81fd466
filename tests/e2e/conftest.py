"""Whole systems of tests rest while they wait: several of them share a machine with others that are at work."""

from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session", autouse=True)
def _consumers_rest() -> Iterator[None]:
    """Idle consumers of the embedded broker take a tenth of a processor where they ask twenty times a second."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ROWSTREAM_KAFKA__FETCH_WAIT_MS", "200")
        yield
