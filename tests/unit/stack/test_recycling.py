"""When the embedded broker's topic is made anew, and when everything that was sent has arrived."""

import pytest
from prometheus_client import CollectorRegistry, Gauge, generate_latest

from record_processor.service import GROUP
from rowstream.errors import Fatal
from rowstream.runtime.metrics import CHUNKS_IN_FLIGHT
from rowstream.stack.recycling import IN_FLIGHT, is_due, is_quiet
from rowstream.stack.services import PROCESSOR_GROUP
from rowstream.stack.system import BROKER_MEMORY, broker_limit

MB = 1_000_000


@pytest.mark.parametrize(
    ("resident", "after_last", "due"),
    [
        pytest.param(0, 0, False, id="the broker is away"),
        pytest.param(99 * MB, 0, False, id="below the limit"),
        pytest.param(100 * MB, 0, True, id="at the limit"),
        pytest.param(120 * MB, 20 * MB, True, id="grown again"),
        pytest.param(120 * MB, 90 * MB, False, id="little was freed the last time: wait until it is worth it"),
        pytest.param(140 * MB, 90 * MB, True, id="and then do it again"),
    ],
)
def test_when_it_is_due(resident: int, after_last: int, *, due: bool) -> None:
    assert is_due(resident, after_last, 100 * MB) is due


@pytest.mark.parametrize(("chunks", "quiet"), [(0, True), (1, False), (192, False)])
def test_a_splitter_says_when_all_has_arrived(chunks: int, *, quiet: bool) -> None:
    registry = CollectorRegistry()
    Gauge(CHUNKS_IN_FLIGHT._name, "d", registry=registry).set(chunks)
    assert is_quiet(generate_latest(registry)) is quiet


def test_a_splitter_that_says_nothing_is_not_quiet() -> None:
    assert not is_quiet(b"")
    assert IN_FLIGHT.decode().strip() == CHUNKS_IN_FLIGHT._name


def test_the_group_is_the_one_of_the_processors() -> None:
    assert PROCESSOR_GROUP == GROUP


@pytest.mark.parametrize("wrong", ["", "0", "-1", "1e9", "much"])
def test_a_wrong_limit_is_told(wrong: str) -> None:
    with pytest.raises(Fatal, match="number of bytes, such as 1000000000"):
        broker_limit({BROKER_MEMORY: wrong})
    assert broker_limit({BROKER_MEMORY: "5"}) == 5
    assert broker_limit({}) == 10**9
