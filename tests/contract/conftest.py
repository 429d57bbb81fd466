"""Clients of the gateway at `address`, which each file of tests serves as it needs it."""

from collections.abc import Iterator
from uuid import uuid4

import httpx
import pytest

from tests import gateways, servers


@pytest.fixture
def api(address: str, url: str) -> Iterator[httpx.Client]:
    """A client of the default organization."""
    with gateways.client_of(address, gateways.new_key(url)) as client:
        yield client


@pytest.fixture
def other(address: str, url: str) -> Iterator[httpx.Client]:
    """A client of another organization."""
    organization = servers.make_organization(url, f"other {uuid4()}")
    with gateways.client_of(address, gateways.new_key(url, organization)) as client:
        yield client
