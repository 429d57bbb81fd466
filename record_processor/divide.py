"""Finds the records that the database refuses alone, by halving, and loads all others. Knows nothing of databases.

A record that is refused is taken out, and the duplicates that lost to it are decided again: the next one of its key is
offered in its place. Parts are offered in the records' own order, so that of two records which exclude each other by
some further constraint the first one stays.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import polars as pl

from record_processor.duplicates import Beaten, Decided, first_of_each, lost_to_table

Load = Callable[[pl.DataFrame], pl.DataFrame]
"""Loads these records, or raises `Refused` and has changed nothing; says which of them lost to a row that was there
already: `record`, `first_upload`, `first_row`."""


class Refused(Exception):
    """The database refuses something in these records; its cause says what."""


class Divided(NamedTuple):
    """What became of records that are not all wanted.

    Attributes:
        decided: Who is first of each key, among those that were not refused.
        beaten: Who lost to a row that was there already.
        refused: Why each of the others was refused, by record.
    """

    decided: Decided
    beaten: Beaten
    refused: Mapping[int, BaseException]


def load_all_but_the_refused(good: pl.DataFrame, key: tuple[str, ...], order: tuple[str, ...], load: Load) -> Divided:
    """Load the first record of each key that the database takes.

    Args:
        good: As `first_of_each` wants them.
        key: The key's columns.
        order: Columns that put the records in order.
        load: Called with parts of them, in order: about 2 log2(n) times for each record that is refused.
    """
    waiting, losers = first_of_each(good, key, order)
    kept, taken, refused = [waiting.clear()], [_nobody()], dict[int, BaseException]()
    while waiting.height:
        parts, now_refused = _halve(waiting.sort(*order), load)
        taken += parts
        refused |= now_refused
        out = pl.Series(list(now_refused), dtype=pl.Int64).implode()
        kept.append(waiting.filter(~pl.col("record").is_in(out)))
        heirs = losers.filter(pl.col("winner").is_in(out))["record"].implode()
        waiting, further = first_of_each(good.filter(pl.col("record").is_in(heirs)), key, order)
        losers = pl.concat([losers.filter(~pl.col("winner").is_in(out)), further])
    decided = Decided(pl.concat(kept).sort(*key), losers.sort("record"))
    return Divided(decided, lost_to_table(decided, pl.concat(taken)), refused)


def _halve(records: pl.DataFrame, load: Load) -> tuple[list[pl.DataFrame], dict[int, BaseException]]:
    taken, refused = [], dict[int, BaseException]()
    waiting = [records]
    while waiting:
        part = waiting.pop()
        try:
            taken.append(load(part))
        except Refused as error:
            if part.height == 1:
                refused[part["record"][0]] = error.__cause__ or error
            else:
                middle = part.height // 2
                waiting += [part[middle:], part[:middle]]
    return taken, refused


def _nobody() -> pl.DataFrame:
    return pl.DataFrame(schema={"record": pl.Int64, "first_upload": pl.String, "first_row": pl.Int64})
