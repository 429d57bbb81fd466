"""Unknown schemas are waited for once and then for long not again, however many there are."""

from rowstream.messages.patience import SchemaPatience


def test_one_wait_is_for_all_unknown_schemas() -> None:
    now = [100.0]
    patience = SchemaPatience(30.0, clock=lambda: now[0])
    assert not patience.is_over()
    now[0] += 29
    assert not patience.is_over()
    now[0] += 1
    assert patience.is_over()  # and so for every further message, at once, whatever its schema
    now[0] += 599
    assert patience.is_over()


def test_the_next_one_is_waited_for_after_ten_minutes_without_a_wait() -> None:
    now = [100.0]
    patience = SchemaPatience(30.0, clock=lambda: now[0])
    assert not patience.is_over()
    now[0] += 630
    assert not patience.is_over()
    now[0] += 30
    assert patience.is_over()


def test_a_message_a_second_for_a_day_holds_a_process_back_for_no_more_than_a_twentieth() -> None:
    now = [100.0]
    patience = SchemaPatience(30.0, clock=lambda: now[0])
    waited = 0
    for _ in range(86_400):
        waited += not patience.is_over()
        now[0] += 1
    assert waited <= 86_400 / 20


def test_without_patience_it_is_over_at_once() -> None:
    assert SchemaPatience(0.0, clock=lambda: 5.0).is_over()
