from rowstream.kafka.absence import Absence


def test_who_looks_often_is_sure() -> None:
    absence = Absence(0.0, session=6.0)
    for now in (1.0, 2.0, 5.0):
        absence.looked(now, waited=0.2)
        assert absence.is_over(now)


def test_a_long_wait_that_was_asked_for_is_none() -> None:
    absence = Absence(0.0, session=6.0)
    absence.looked(5.0, waited=5.0)
    assert absence.is_over(5.0)


def test_who_was_frozen_is_sure_again_once_a_heartbeat_can_have_been_answered() -> None:
    absence = Absence(0.0, session=6.0)
    assert not absence.is_over(9.0), "woken, before the first look"
    absence.looked(9.0, waited=0.2)
    absence.looked(11.0, waited=0.2)
    assert not absence.is_over(11.0)
    absence.looked(12.0, waited=0.2)
    assert absence.is_over(12.0)
