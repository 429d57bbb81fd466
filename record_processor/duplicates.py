"""Decides which of several records with one key is the first. Pure, and the same however records are batched.

Within a batch the first is the one with the lowest order, that is upload and row number. The others are not judged
again unless the first one is taken out: because the table has the key already (`lost_to_table`), or because the
database refused it (decide again without it).
"""

from typing import NamedTuple

import polars as pl


class Decided(NamedTuple):
    """Who is first.

    Attributes:
        kept: The first record of each key, all columns, sorted by key: COPY is faster so, and takes locks in one
            order.
        losers: `record` and `winner` (the record that came first, of those kept), sorted by record.
    """

    kept: pl.DataFrame
    losers: pl.DataFrame


class Beaten(NamedTuple):
    """Who lost against a row that the table had already.

    Attributes:
        kept: What is left of the kept records, still sorted by key.
        losers: `record`, `winner`: those who lost within the batch to a record that is still kept.
        beaten: `record` and the columns that name the table's row: those who lost against it, the batch's former
            winner and its losers alike, sorted by record.
    """

    kept: pl.DataFrame
    losers: pl.DataFrame
    beaten: pl.DataFrame


def first_of_each(good: pl.DataFrame, key: tuple[str, ...], order: tuple[str, ...]) -> Decided:
    """Keep the first record of each key.

    Args:
        good: `record`, the columns of the key (typed, never null) and those of the order; other columns are kept.
        key: The key's columns.
        order: Columns that put the records of a key in order, such as the upload's rank and the row number; no two
            records may have the same.
    """
    ordered = good.sort(*key, *order)
    first = ordered.select(pl.any_horizontal(pl.col(name).ne_missing(pl.col(name).shift()) for name in key)).to_series()
    if len(first):
        first[0] = True
    if first.all():
        return Decided(ordered, ordered.select("record", winner="record").clear())
    winner = ordered.select("record", winner=pl.when(first).then("record").forward_fill())
    return Decided(ordered.filter(first), winner.filter(~first).sort("record"))


def lost_to_table(decided: Decided, taken: pl.DataFrame) -> Beaten:
    """Take out the winners whose key the table has already; their losers lost to the table's row as well.

    Args:
        decided: Who is first within the batch.
        taken: `record`, one of the kept, and the columns that name the row which the table has, such as
            `batch_upload_id` and `row_number`.
    """
    lost = pl.col("record").is_in(taken["record"].implode())
    heirs = decided.losers.join(taken.rename({"record": "winner"}), on="winner", how="inner").drop("winner")
    return Beaten(
        kept=decided.kept.filter(~lost),
        losers=decided.losers.filter(~pl.col("winner").is_in(taken["record"].implode())),
        beaten=pl.concat([taken, heirs.select(taken.columns)]).sort("record"),
    )
