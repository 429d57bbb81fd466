"""Lines pass on, hold, cut and tamper as they are told, and end without a trace."""

import socket
import threading
from collections.abc import Iterator
from contextlib import closing

import pytest

from tests.fault.lines import Hub, Line, Tamper
from tests.servers import free_port


@pytest.fixture
def line() -> Iterator[Line]:
    """A line to a server that answers every word by the same word."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=_echo, args=(listener,), daemon=True).start()
        hub = Hub()
        yield hub.line(free_port(), listener.getsockname()[1])
        hub.close()


def _echo(listener: socket.socket) -> None:
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        threading.Thread(target=_echo_one, args=(connection,), daemon=True).start()


def _echo_one(connection: socket.socket) -> None:
    with closing(connection):
        try:
            while data := connection.recv(1_000):
                connection.sendall(data)
        except OSError:
            return


def _connected(line: Line) -> socket.socket:
    return socket.create_connection(("127.0.0.1", line.port), timeout=5)


def _asked(client: socket.socket, word: bytes) -> bytes:
    client.sendall(word)
    return client.recv(1_000)


def _is_ended(client: socket.socket, word: bytes) -> bool:
    try:
        return _asked(client, word) == b""
    except ConnectionError:
        return True


def test_it_passes_words_on(line: Line) -> None:
    with _connected(line) as client:
        assert _asked(client, b"hello") == b"hello"


def test_held_it_is_silent_and_then_goes_on(line: Line) -> None:
    with _connected(line) as client:
        assert _asked(client, b"hello") == b"hello"
        line.hold()
        client.settimeout(0.3)
        with pytest.raises(TimeoutError):
            _asked(client, b"more")
        client.settimeout(5)
        line.restore()
        assert client.recv(1_000) == b"more"


def test_cut_it_ends_connections_and_refuses_new_ones(line: Line) -> None:
    with _connected(line) as client, _connected(line) as other:
        assert _asked(client, b"hello") == b"hello"
        line.cut()
        for one in (client, other):
            assert _is_ended(one, b"more")
    line.restore()
    with _connected(line) as client:
        assert _asked(client, b"hello") == b"hello"


def test_an_answer_can_be_cut_at_one_word(line: Line) -> None:
    class CutAtBye(Tamper):
        def to_client(self, data: bytes) -> bytes | None:
            return None if b"bye" in data else data

    line.tamper(CutAtBye)
    with _connected(line) as client:
        assert _asked(client, b"hello") == b"hello"
        assert _is_ended(client, b"bye")


def test_it_can_answer_for_its_server(line: Line) -> None:
    line.answer(b"no")
    with _connected(line) as client:
        assert _asked(client, b"hello") == b"no"
    line.restore()
    with _connected(line) as client:
        assert _asked(client, b"hello") == b"hello"
