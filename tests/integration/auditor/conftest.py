"""Fixtures of the auditor's tests."""

from collections.abc import Iterator

import pytest

from tests.integration.auditor.scene import Scene, scene_of


@pytest.fixture
def scene(database_url: str) -> Iterator[Scene]:
    """A database of its own, with helpers that play the other services."""
    with scene_of(database_url) as scene:
        yield scene
