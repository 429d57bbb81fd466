import json

import pytest

from rowstream.runtime.health import Health
from rowstream.runtime.service import probe
from rowstream.stack.jam import Jam, waits_for_broker


def test_a_service_that_waits_without_a_break_is_named_once() -> None:
    jam = Jam(patience=10.0)
    assert [jam.looked(now, ["splitter"]) for now in (0.0, 5.0, 10.0, 15.0, 20.0, 25.0)] == [
        None,
        None,
        "splitter",
        None,
        None,
        "splitter",
    ]


def test_a_service_that_was_let_in_meanwhile_or_did_not_answer_begins_anew() -> None:
    jam = Jam(patience=10.0)
    looks = [(0.0, ["auditor", "splitter"]), (5.0, ["auditor"]), (9.0, ["splitter"]), (18.0, ["splitter"])]
    assert [jam.looked(now, waiting) for now, waiting in looks] == [None] * 4
    assert jam.looked(19.0, ["splitter"]) == "splitter"


def test_what_a_service_says_is_understood() -> None:
    health = Health("broker", "database")
    answer = probe("/readyz", health)
    assert answer
    assert waits_for_broker(answer[2])
    health.ok("broker")
    health.waiting("database", "kafka is not meant")
    answer = probe("/readyz", health)
    assert answer
    assert not waits_for_broker(answer[2])


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", json.dumps({"waiting_for": []}).encode()])
def test_what_says_nothing_of_the_broker_is_no_jam(body: bytes) -> None:
    assert not waits_for_broker(body)
