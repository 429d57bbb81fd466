"""No broken auditor, but an unlucky one: its third batch of results meets an error that nobody foresaw, once."""

import os
from collections.abc import Sequence
from pathlib import Path

from auditor.receiver import Read, Receiver
from rowstream.kafka.received import Received

_BATCHES = 3
_take = Receiver.take
_taken: list[int] = []


def _fail_once(self: Receiver, messages: Sequence[Received], read: Read) -> None:
    _taken.append(len(messages))
    failed = Path(f"{os.environ['FAULT_ORDERS']}.failed")
    if len(_taken) >= _BATCHES and not failed.exists():
        failed.touch()
        raise RuntimeError("planted by a test")
    _take(self, messages, read)


Receiver.take = _fail_once  # type: ignore[method-assign]
