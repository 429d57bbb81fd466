import os
import re
import socket

import pytest

from rowstream.stack import ports


def listening() -> socket.socket:
    return socket.create_server(("127.0.0.1", 0))


def test_remembered_ports_are_used_again_while_they_are_free() -> None:
    first = ports.choose(["broker", "postgres"], {})
    assert ports.choose(["postgres", "broker"], first) == first


def test_a_remembered_port_that_is_taken_is_replaced() -> None:
    with listening() as server:
        taken = server.getsockname()[1]
        assert ports.choose(["broker"], {"broker": taken})["broker"] != taken


def test_no_port_is_given_twice() -> None:
    free = ports.choose(["one"], {})["one"]
    chosen = ports.choose(["a", "b"], {"a": free, "b": free})
    assert chosen["a"] == free
    assert chosen["b"] != free


def test_a_taken_port_is_said_with_its_holder() -> None:
    with listening() as server:
        port = server.getsockname()[1]
        with pytest.raises(ports.PortTaken, match=re.escape(f"port {port} is taken by ")) as caught:
            ports.require(port)
    assert f"(process {os.getpid()})" in str(caught.value)
    assert "--port" in str(caught.value)


def test_what_to_do_about_a_port_that_nobody_asked_for() -> None:
    with listening() as server, pytest.raises(ports.PortTaken, match=r"stop it, or end `rowstream up`"):
        ports.require(server.getsockname()[1], ports.ANOTHER_PORT)


def test_who_listens_is_a_child_or_a_stranger() -> None:
    with listening() as server:
        port = server.getsockname()[1]
        assert ports.listens(os.getpid(), port)
        assert not ports.listens(os.getppid(), port)
        assert ports.stranger(port, os.getppid()) is None
        for parent in (os.getpid(), 2**22 + 1, None):  # Linux numbers processes up to 2**22
            assert str(ports.stranger(port, parent)).endswith(f"(process {os.getpid()})")
    assert ports.stranger(port, None) is None
    assert not ports.listens(2**22 + 1, port)


def test_a_server_of_another_address_does_not_count() -> None:
    with socket.create_server(("127.0.0.2", 0)) as server:
        assert ports.stranger(server.getsockname()[1], None) is None


def test_a_free_port_is_fine() -> None:
    ports.require(ports.choose(["one"], {})["one"])


def test_an_unknown_holder_is_another_program() -> None:
    assert ports.holder(ports.choose(["one"], {})["one"]) == "another program"
