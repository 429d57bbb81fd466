"""A record processor in which any batch with a record of the word `deadly` kills its worker, as a segfault would."""

import os
import signal

import polars as pl

from record_processor import process
from record_processor.__main__ import main
from record_processor.validate import Validated, validate
from rowstream.records import RecordType

DEADLY = "deadly"


def _validate(texts: pl.DataFrame, record_type: RecordType) -> Validated:
    if (texts["case_number"] == DEADLY).any():
        os.kill(os.getpid(), signal.SIGKILL)
    return validate(texts, record_type)


if __name__ == "__main__":
    process.validate = _validate  # type: ignore[attr-defined]  # where it is looked up
    main()
