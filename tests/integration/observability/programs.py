"""Prometheus' programs, which Debian's package `prometheus` brings."""

import os
import shutil

import pytest


def program(name: str) -> str:
    """The path of a program; skips the test where there is none, but fails it in CI."""
    found = shutil.which(name)
    if found is None:
        missing = f"{name} is not installed: apt-get install prometheus"
        if os.environ.get("CI") == "true":
            pytest.fail(missing)
        pytest.skip(missing)
    return found
