"""Takes rows out again until nothing is left to do; run it as a program, so that it can be killed.

Arguments: the database's address, and how many row numbers go in one transaction.
"""

import sys

from record_processor.undo import undo_some
from record_processor.zombies import SERVICE
from rowstream.database.connection import PROCESSOR_ROLE, make_engine


def main(url: str, window_rows: str) -> None:
    """Undo, window by window."""
    engine = make_engine(url, role=PROCESSOR_ROLE, service=SERVICE, pool_size=1)
    while undo_some(engine, window_rows=int(window_rows)):
        pass


if __name__ == "__main__":
    main(*sys.argv[1:])
