"""A broker and a database with record types' tables in it, for the tests of a module to share."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import pytest

from rowstream.database.keys import DEFAULT_ORGANIZATION
from rowstream.database.record_tables import bring_up_to_date
from rowstream.kafka.received import Received
from rowstream.kafka.topics import CHUNK_RESULTS, CHUNKS, DEAD_LETTERS
from rowstream.records import RecordType, registry
from tests import servers
from tests.services import everything_in
from tests.uploads import MEMBERS, Uploads, uploads_in


@dataclass(frozen=True)
class System:
    """Where a record processor may work, and what it made of its chunks."""

    url: str
    broker: str
    uploads: Uploads

    def noted(
        self, lanes: int = 1, *, organization: UUID = DEFAULT_ORGANIZATION, record_type: str = MEMBERS.name
    ) -> UUID:
        """An upload whose chunks may come."""
        upload = self.uploads.accept(organization=organization, record_type=record_type)
        self.uploads.note(upload, lanes=lanes)
        return upload

    def results(self, upload: UUID) -> list[Received]:
        """What was told of an upload's chunks, as often as it was."""
        key = str(upload).encode()
        return [message for message in everything_in(self.broker, CHUNK_RESULTS) if message.key == key]

    def aside(self, stage: str) -> list[Received]:
        """What was put aside of the chunk topic in this stage."""
        where = {"__connect.errors.topic": CHUNKS, "__connect.errors.stage": stage}
        return [
            message for message in everything_in(self.broker, DEAD_LETTERS) if where.items() <= message.headers.items()
        ]

    def settled(self, upload: UUID, *next_seqs: int) -> None:
        """Wait until the lanes wait for these."""
        servers.until(lambda: tuple(self.uploads.settled(upload).values()) == next_seqs, what=f"{next_seqs}")


@contextmanager
def system_of(postgres: servers.Postgres, folder: Path, further: RecordType) -> Iterator[System]:
    """A system without a processor, that knows the records of members and of one further type."""
    types = {MEMBERS.name: MEMBERS, further.name: further}
    with (
        pytest.MonkeyPatch.context() as patch,
        servers.broker_server(folder) as broker,
        postgres.fresh_database() as url,
        uploads_in(url) as uploads,
    ):
        with uploads.owner.begin() as connection:
            bring_up_to_date(connection, further)
        patch.setattr(registry, "record_types", lambda: types)
        yield System(url, broker.address, uploads)
