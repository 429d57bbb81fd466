"""A record processor with a fault of its own: it fails at the first chunk of every upload, each time."""

from collections.abc import Sequence
from typing import Any

from record_processor.batch import ChunkInHand
from record_processor.process import Processor

_process = Processor._process


def _fail_at_first(self: Processor, group: Sequence[ChunkInHand], *facts: Any) -> Any:
    if any(hand.chunk.chunk_number == 0 for hand in group):
        raise RuntimeError("planted by a test")
    return _process(self, group, *facts)


Processor._process = _fail_at_first  # type: ignore[method-assign,assignment]
