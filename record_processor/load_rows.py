"""Loads the good rows of the chunks that are worked: all together, or, where the database refuses some, in parts."""

from collections import OrderedDict
from collections.abc import Callable
from uuid import UUID

import polars as pl
import psycopg
from sqlalchemy import Connection, text

from record_processor.divide import Refused, load_all_but_the_refused
from record_processor.duplicates import first_of_each, lost_to_table
from record_processor.load import KeyTaken, load_directly, load_through_staging
from record_processor.outcome import Work, refusals, rejected
from record_processor.reactions import Reaction, reaction_to
from record_processor.stages import stage
from rowstream.records import CellError, RecordType
from rowstream.runtime.metrics import COLLISIONS, RECORDS_REFUSED

_ORDER = ("upload", "row_number")  # what says which of several records came first
_REMEMBERED_UPLOADS = 1_000
_CHECK_AT_ONCE = text("SET CONSTRAINTS ALL IMMEDIATE")  # those that wait for COMMIT would refuse all or nothing

Errors = dict[int, tuple[CellError, ...]]
LoadWork = Callable[[Connection, Work, RecordType], Errors]
"""Loads the rows of the worked chunks; says what is wrong with each record that was not loaded."""


class Loader:
    """Loads groups of chunks; remembers uploads of which keys were there already, and begins otherwise with them."""

    def __init__(self) -> None:
        self._collided: OrderedDict[UUID, None] = OrderedDict()

    def load_together(self, connection: Connection, work: Work, record_type: RecordType) -> Errors:
        """Load the rows of a group, or on any error nothing.

        Raises:
            sqlalchemy.exc.DBAPIError, psycopg.Error: the database refused something, or is away.
        """
        with stage("duplicates"):
            decided = first_of_each(work.good, record_type.key, _ORDER)
            rows = _with_owner(decided.kept, work)
        uploads = {work.chunks[place].chunk.upload_id for place in work.worked}
        with stage("load"):
            if not uploads & self._collided.keys():
                try:
                    load_directly(connection, record_type, rows)
                except KeyTaken:
                    self._remember(uploads)
                else:
                    return rejected(work, record_type, decided, None)
            COLLISIONS.inc()
            losers = load_through_staging(connection, record_type, rows)
        return rejected(work, record_type, decided, lost_to_table(decided, _taken(rows, losers)))

    def _remember(self, uploads: set[UUID]) -> None:
        self._collided.update(dict.fromkeys(uploads))
        while len(self._collided) > _REMEMBERED_UPLOADS:
            self._collided.popitem(last=False)


def load_in_parts(connection: Connection, work: Work, record_type: RecordType) -> Errors:
    """Load all that the database takes; each part has a savepoint of its own.

    Through staging always, so that a record whose key is taken is a duplicate, whatever else the table says of it.
    """
    connection.execute(_CHECK_AT_ONCE)

    def load(records: pl.DataFrame) -> pl.DataFrame:
        rows = _with_owner(records.sort(*record_type.key), work)
        try:
            with connection.begin_nested():
                losers = load_through_staging(connection, record_type, rows)
        except psycopg.Error as error:
            if reaction_to(error) is Reaction.DIVIDE:
                raise Refused from error
            raise
        return _taken(rows, losers)

    with stage("load"):
        divided = load_all_but_the_refused(work.good, record_type.key, _ORDER, load)
    RECORDS_REFUSED.labels(record_type.name).inc(len(divided.refused))
    return rejected(work, record_type, divided.decided, divided.beaten) | refusals(work, record_type, divided.refused)


def _taken(rows: pl.DataFrame, losers: pl.DataFrame) -> pl.DataFrame:
    """The losers to rows of the table, by their record."""
    named = losers.join(rows.select("record", "batch_upload_id", "row_number"), on=["batch_upload_id", "row_number"])
    return named.select("record", "first_upload", "first_row")


def _with_owner(kept: pl.DataFrame, work: Work) -> pl.DataFrame:
    uploads = sorted({hand.chunk.upload_id for hand in work.chunks})
    names = pl.Series("batch_upload_id", [str(upload) for upload in uploads], dtype=pl.String)
    organization = str(work.chunks[0].chunk.organization_id)
    return kept.with_columns(names.gather(kept["upload"]), pl.lit(organization).alias("organization_id"))
