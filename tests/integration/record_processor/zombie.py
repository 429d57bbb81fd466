"""A processor that stops in the middle of its transaction, as a process that is frozen does; run it as a program.

Arguments: the database's address, an upload, how many good records its one chunk has, and where to stop: in `copy`,
with rows half sent, or at the `ledger`, with all rows written. Woken again it goes on, and tells its results.
"""

import os
import signal
import sys
import time
from collections.abc import Callable
from typing import Any
from uuid import UUID

import psycopg

from record_processor import ledger
from record_processor.batch import read
from record_processor.process import Processor
from record_processor.recover import settle
from record_processor.zombies import SERVICE, Patience
from rowstream.database.connection import PROCESSOR_ROLE, make_engine
from rowstream.runtime.logging import configure_logging
from tests.uploads import MEMBERS, chunks_of, members, received


class _NoSchemas:
    def find(self, fingerprint: bytes) -> None:
        """Nothing is registered: every schema is ours."""


def _stopping_first(call: Callable[..., Any]) -> Callable[..., Any]:
    stopped: list[bool] = []

    def stop_and_call(*args: Any, **facts: Any) -> Any:
        if not stopped:
            stopped.append(True)
            os.kill(os.getpid(), signal.SIGSTOP)
        return call(*args, **facts)

    return stop_and_call


def main(url: str, upload: str, count: str, place: str) -> None:
    """Work the chunk, and stop on the way."""
    configure_logging("zombie")
    if place == "copy":
        psycopg.Copy.write = _stopping_first(psycopg.Copy.write)  # type: ignore[method-assign]
    else:
        ledger.record = _stopping_first(ledger.record)
    engine = make_engine(url, role=PROCESSOR_ROLE, service=SERVICE)
    patience = Patience(make_engine(url, service="patience", pool_size=1), 10.0)
    processor = Processor(engine, patience=patience, worker="zombie")
    hands = [read(received(chunk), _NoSchemas()) for chunk in chunks_of(members(int(count)), UUID(upload))]
    settled = settle(processor, hands, MEMBERS, pause=_pause)
    for result in settled.results:
        _say("result", result.worker, result.succeeded_records, result.failed_records)


def _pause(reason: str, _: float) -> None:
    _say("waited", reason)
    time.sleep(0.05)


def _say(*words: object) -> None:
    sys.stdout.write(" ".join(map(str, words)) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
