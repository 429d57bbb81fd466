"""Delivers messages that must not be lost: sent again until the broker has said of each that it has it."""

from collections.abc import Callable, Iterable

from rowstream.errors import Retryable
from rowstream.kafka.producer import OnDelivery, Producer

Send = Callable[[OnDelivery], None]
"""Sends one message and calls back with None, or with why it failed; may raise Retryable."""

_FLUSH_SECONDS = 5.0


def deliver(producer: Producer, sends: Iterable[Send], *, pause: Callable[[str], None]) -> None:
    """Send all of these, and again those that fail, until each was delivered.

    Blocks as long as that takes. `pause` is called with a reason before anything is tried again; it waits a moment, and
    ends this by raising.
    """
    waiting = list(sends)
    while waiting:
        failed: list[Send] = []
        for send in waiting:
            _send(send, failed)
        while producer.flush(_FLUSH_SECONDS):
            pause("messages wait for the broker")
        waiting = failed
        if waiting:
            pause("the broker did not take messages")


def _send(send: Send, failed: list[Send]) -> None:
    def report(error: str | None) -> None:
        if error is not None:
            failed.append(send)

    try:
        send(report)
    except Retryable:
        failed.append(send)
