"""A record type of every kind of column, whose accepted records are announced."""

from collections.abc import Iterable
from typing import Any

import dataframely as dy
import polars as pl

from rowstream.kafka.topics import create_topics, records_topic, topics_with
from rowstream.records import Derived, RecordType
from tests.uploads import MEMBERS


class _Visit(dy.Schema):
    who = dy.String(nullable=False)
    day = dy.Date(nullable=False)
    began = dy.Datetime(nullable=True, time_zone="UTC")
    price = dy.Decimal(precision=10, scale=2, nullable=True)
    weight = dy.Float64(nullable=True)
    count = dy.Int64(nullable=True)
    first = dy.Bool(nullable=True)
    color = dy.Enum(["red", "green"], nullable=True)


VISITS = RecordType(
    name="visit",
    version=3,
    title="Visits",
    table="visits",
    schema=_Visit,
    key=("who", "day"),
    derived={"year": Derived(column=dy.Int32(nullable=False), value=pl.col("day").dt.year())},
    announce=True,
)
TOPIC = records_topic(VISITS.name)
TYPES = {MEMBERS.name: MEMBERS, VISITS.name: VISITS}
_GOOD = {
    "day": "2026-01-31",
    "began": "2026-01-31T09:30:00.25+02:00",
    "price": "12.50",
    "weight": "0.1",
    "count": "1152921504606846976"[:18],
    "first": "yes",
    "color": "red",
}


def make_topic(broker: str) -> None:
    """Make the topic that they are announced on."""
    create_topics(broker, topics=topics_with([VISITS.name]))


def visits(whom: Iterable[str], **cells: str) -> bytes:
    """A file of a good record for each, but for what is given."""
    header = ",".join(VISITS.columns)
    lines = [",".join((_GOOD | {"who": who} | cells)[name] for name in VISITS.columns) for who in whom]
    return "\n".join([header, *lines, ""]).encode()


def said_of(who: str) -> dict[str, Any]:
    """What is announced of such a record."""
    return {
        "who": who,
        "day": "2026-01-31",
        "began": "2026-01-31T07:30:00.250+00:00",
        "price": "12.50",
        "weight": 0.1,
        "count": 115292150460684697,
        "first": True,
        "color": "red",
        "year": 2026,
    }
