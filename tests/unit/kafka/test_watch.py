from rowstream.kafka.watch import Watch


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def looks(watch: Watch, *views: tuple[int, int]) -> list[bool]:
    return [watch.is_stuck({("t", 0): view}) for view in views]


def test_a_look_is_due_only_when_nothing_has_come_for_a_while() -> None:
    clock = Clock()
    watch = Watch(clock=clock, seconds=5)
    clock.now = 4.9
    assert not watch.wants_a_look(received=False)
    clock.now = 5.0
    assert watch.wants_a_look(received=False)
    assert not watch.wants_a_look(received=False)
    clock.now = 9.0
    assert not watch.wants_a_look(received=True)
    clock.now = 13.9
    assert not watch.wants_a_look(received=False)


def test_a_reader_before_a_log_that_grows_is_stuck_and_a_slow_one_is_not() -> None:
    assert looks(Watch(clock=Clock()), (3, 3), (3, 5), (3, 5)) == [False, False, True]
    assert looks(Watch(clock=Clock()), (3, 5), (3, 7), (3, 9)) == [False, False, True]
    assert looks(Watch(clock=Clock()), (3, 3), (3, 5), (5, 7), (7, 7)) == [False, False, False, False]


def test_a_reader_behind_the_end_of_a_log_that_was_lost_is_stuck() -> None:
    assert looks(Watch(clock=Clock()), (15, 15), (15, 3), (15, 4)) == [False, False, True]


def test_an_end_that_no_reader_gets_and_that_stays_is_no_reason() -> None:
    assert looks(Watch(clock=Clock()), (3, 4), (3, 4), (3, 4), (3, 4)) == [False] * 4


def test_what_was_done_about_once_is_looked_at_afresh() -> None:
    watch = Watch(clock=Clock())
    assert looks(watch, (3, 3), (3, 5), (3, 5)) == [False, False, True]
    assert looks(watch, (3, 5), (3, 5), (3, 5)) == [False, False, False]


def test_what_comes_between_two_looks_ends_the_suspicion() -> None:
    watch = Watch(clock=Clock())
    assert looks(watch, (3, 3), (3, 4)) == [False, False]
    assert not watch.wants_a_look(received=True)
    assert looks(watch, (4, 4)) == [False]
