"""What every service answers on its own port, and how it begins and ends."""

import http.client
import json
import os
import signal
import socket
import threading
from collections.abc import Iterator

import pytest
import structlog

from rowstream.errors import Fatal
from rowstream.runtime.health import Health
from rowstream.runtime.service import Running, probe, running
from rowstream.runtime.settings import ServiceSettings


@pytest.fixture(autouse=True)
def _signals_as_before() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)
    structlog.reset_defaults()


def on(port: int) -> ServiceSettings:
    return ServiceSettings.load(http={"port": port})


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def get(port: int, path: str) -> tuple[int, str, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.headers["Content-Type"], answer.read()
    finally:
        connection.close()


def test_readiness_says_what_is_waited_for() -> None:
    health = Health("kafka")
    found = probe("/readyz", health)
    assert found is not None
    assert (found[0], json.loads(found[2])) == (503, {"ready": False, "waiting_for": ["kafka: not there yet"]})
    health.ok("kafka")
    found = probe("/readyz", health)
    assert found is not None
    assert (found[0], json.loads(found[2])) == (200, {"ready": True, "waiting_for": []})


def test_liveness_follows_the_loop() -> None:
    now = [0.0]
    health = Health(stuck_after=5, clock=lambda: now[0])
    found = probe("/healthz", health)
    assert found is not None
    assert (found[0], json.loads(found[2])) == (200, {"alive": True})
    now[0] = 6.0
    found = probe("/healthz", health)
    assert found is not None
    assert (found[0], json.loads(found[2])) == (503, {"alive": False})


def test_there_is_nothing_else() -> None:
    assert probe("/", Health()) is None


def test_the_three_pages_are_answered_while_it_runs() -> None:
    port = free_port()
    with running("test", on(port), Health("database")) as service:
        assert get(port, "/healthz")[0] == 200
        assert get(port, "/readyz")[0] == 503
        service.health.ok("database")
        assert get(port, "/readyz?verbose")[0] == 200
        status, kind, body = get(port, "/metrics")
        assert (status, kind.split(";")[0]) == (200, "text/plain")
        assert b"batch_upload_records_processed_total" in body
        assert get(port, "/nothing")[0] == 404
    with pytest.raises(ConnectionRefusedError):
        get(port, "/healthz")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_asks_it_to_stop(number: signal.Signals) -> None:
    with running("test", on(0), Health()) as service:
        assert not service.stop.is_set()
        os.kill(os.getpid(), number)
        assert service.stop.wait(5)


def test_a_taken_port_is_told_with_its_settings() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(Fatal, match=f"{port}.*ROWSTREAM_HTTP__PORT"), running("test", on(port), Health()):
            pass


def test_an_error_that_nobody_foresaw_ends_it_without_showing_its_text(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught, running("test", on(0), Health()):
        raise ValueError("Failing row contains (Anna)")
    assert caught.value.code == 1
    assert caught.value.__suppress_context__
    out = capfd.readouterr().err
    assert "ended by an error" in out
    assert "ValueError" in out
    assert "Anna" not in out


def test_what_a_person_must_change_passes_as_it_is() -> None:
    with pytest.raises(Fatal, match="change me"), running("test", on(0), Health()):
        raise Fatal("change me")


def test_a_running_service_has_its_own_stop() -> None:
    one, other = Running(Health()), Running(Health())
    assert isinstance(one.stop, threading.Event)
    one.stop.set()
    assert not other.stop.is_set()
