"""An unknown schema is waited for once, not once for each of its messages."""

from rowstream.messages.codec import UnknownSchema
from rowstream.messages.patience import SchemaPatience


def unknown(number: int) -> UnknownSchema:
    return UnknownSchema("Thing", number.to_bytes(8, "big"))


def test_it_is_over_when_the_schema_was_met_long_enough_ago() -> None:
    now = [100.0]
    patience = SchemaPatience(60.0, clock=lambda: now[0])
    assert not patience.is_over(unknown(1))
    now[0] += 59
    assert not patience.is_over(unknown(1))
    assert not patience.is_over(unknown(2))
    now[0] += 1
    assert patience.is_over(unknown(1))  # and so for every further message of this schema, at once
    assert patience.is_over(unknown(1))
    assert not patience.is_over(unknown(2))


def test_without_patience_it_is_over_at_once() -> None:
    assert SchemaPatience(0.0, clock=lambda: 5.0).is_over(unknown(1))


def test_what_it_remembers_is_bounded() -> None:
    patience = SchemaPatience(60.0, clock=lambda: 0.0)
    for number in range(5_000):
        patience.is_over(unknown(number))
    assert len(patience._first_met) <= 1_000
