"""What a record type's table lacks is said, and made again by migrating."""

from collections.abc import Iterator

import dataframely as dy
import pytest
from sqlalchemy import Engine, text

from rowstream.database.migrate import migrate
from rowstream.database.record_tables import bring_up_to_date, lacking
from rowstream.errors import Fatal
from rowstream.records import RecordType
from tests.engines import engine_of


class _Thing(dy.Schema):
    name = dy.String(nullable=False)
    maker = dy.String(nullable=False)
    size = dy.Int64(nullable=True)


THING = RecordType(name="thing", version=1, title="Thing", table="things", schema=_Thing, key=("name",))


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    with engine_of(database_url) as engine:
        yield engine


def said(engine: Engine) -> str | None:
    with engine.connect() as connection:
        return lacking(connection, THING)


@pytest.mark.parametrize(
    ("meddling", "words"),
    [
        ("DROP TABLE things", "there is no table things"),
        ("ALTER TABLE things RENAME TO gone", "there is no table things"),
        ("ALTER TABLE things DROP COLUMN size", "table things lacks size"),
        ("ALTER TABLE things OWNER TO postgres", "table things is postgres's and not rowstream_processor's"),
    ],
)
def test_what_was_taken_away_is_named_and_made_again(
    database_url: str, engine: Engine, meddling: str, words: str
) -> None:
    assert said(engine) == "record type thing: there is no table things"
    migrate(database_url, [THING])
    assert said(engine) is None
    with engine.begin() as connection:
        connection.execute(text(meddling))
    assert said(engine) == f"record type thing: {words}"
    migrate(database_url, [THING])
    assert said(engine) is None
    migrate(database_url, [THING])


def test_a_column_that_is_never_empty_is_for_a_person_to_put_back(database_url: str, engine: Engine) -> None:
    migrate(database_url, [THING])
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE things DROP COLUMN maker"))
    assert said(engine) == "record type thing: table things lacks maker"
    with engine.begin() as connection, pytest.raises(Fatal, match="column maker of table things is gone"):
        bring_up_to_date(connection, THING)
