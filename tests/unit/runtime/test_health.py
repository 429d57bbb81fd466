"""A service is ready when nothing is waited for, and alive while its loop comes round."""

from prometheus_client import REGISTRY

from rowstream.runtime.health import Health


def test_it_waits_for_what_it_expects_until_that_is_there() -> None:
    health = Health("kafka", "database")
    assert health.waiting_for == ["database: not there yet", "kafka: not there yet"]
    health.ok("database")
    assert health.waiting_for == ["kafka: not there yet"]
    health.ok("kafka")
    assert health.waiting_for == []


def test_it_says_why_what_was_there_is_gone() -> None:
    health = Health()
    health.waiting("database", "connection refused")
    health.waiting("database", "no such host")
    assert health.waiting_for == ["database: no such host"]
    health.ok("database")
    health.ok("database")
    assert health.waiting_for == []


def test_it_is_alive_while_the_loop_comes_round() -> None:
    now = [0.0]
    health = Health(stuck_after=10.0, clock=lambda: now[0])
    seen = []
    for moment, beats in ((9, True), (18, False), (19, False), (20, True), (21, False)):
        now[0] = moment
        seen.append(health.alive)
        if beats:
            health.beat()
    assert seen == [True, True, False, False, True]


def test_what_it_waits_for_is_a_metric() -> None:
    def waiting() -> float | None:
        return REGISTRY.get_sample_value("rowstream_waiting", {"part": "a part of this test"})

    assert waiting() is None
    health = Health("a part of this test")
    assert waiting() == 1
    health.ok("a part of this test")
    assert waiting() == 0
    health.waiting("a part of this test", "gone")
    assert waiting() == 1
