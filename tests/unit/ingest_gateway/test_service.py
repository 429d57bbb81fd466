import socket
import threading

import pytest

from ingest_gateway.service import Threads, listen
from rowstream.errors import Fatal
from rowstream.runtime.settings import HttpSettings


def test_a_free_port_is_taken() -> None:
    with listen(HttpSettings(host="127.0.0.1", port=0)) as listener:
        assert listener.getsockname()[1] > 0


def test_nothing_that_is_sent_waits_for_more_or_for_an_acknowledgement() -> None:
    with listen(HttpSettings(host="127.0.0.1", port=0)) as listener, socket.create_connection(listener.getsockname()):
        accepted, _ = listener.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_a_port_that_is_taken_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(Fatal, match=rf"127\.0\.0\.1:{port} is taken.*ROWSTREAM_HTTP__PORT"):
            listen(HttpSettings(host="127.0.0.1", port=port))


def test_an_address_of_another_machine_is_named() -> None:
    with pytest.raises(Fatal, match=r"192\.0\.2\.1"):
        listen(HttpSettings(host="192.0.2.1", port=0))


def test_a_thread_that_fails_says_so_and_ends_the_service() -> None:
    failed = threading.Event()
    threads = Threads(on_failure=failed.set)

    def work() -> None:
        raise ValueError("by accident")

    threads.start("broken", work)
    threads.join(5)
    assert failed.is_set()
    assert threads.failed


def test_threads_that_return_are_well() -> None:
    threads = Threads(on_failure=lambda: pytest.fail("nothing failed"))
    threads.start("fine", lambda: None)
    threads.join(5)
    assert not threads.failed
