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


def test_a_free_port_is_fine() -> None:
    ports.require(ports.choose(["one"], {})["one"])


def test_an_unknown_holder_is_another_program() -> None:
    assert ports.holder(ports.choose(["one"], {})["one"]) == "another program"
