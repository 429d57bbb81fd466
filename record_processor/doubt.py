"""Knows which partitions the last worker may have died in: their first messages are worked one by one.

Before the first batch of an assignment its partitions are entered in `partitions_in_work`, and an orderly leave takes
them out again. A partition that stands there when it comes to a new worker was left by one that did not leave: killed,
out of memory, or stopped by what it worked. Nothing is written between two assignments, so this costs nothing. (The
offset's metadata would say the same, but the embedded broker does not keep it.)
"""

from collections.abc import Iterable, Sequence

from sqlalchemy import Engine, delete, select, tuple_
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import SQLAlchemyError

from rowstream.database.connection import first_line
from rowstream.database.tables import partitions_in_work
from rowstream.ids import new_id
from rowstream.kafka.received import Received
from rowstream.runtime.logging import get_logger

log = get_logger(__name__)

Place = tuple[str, int]
_ENTERED = partitions_in_work.c


class Doubt:
    """The partitions of one worker; called from its loop, and `leave` from its consumer's callbacks too."""

    def __init__(self, engine: Engine, worker: str, *, messages: int) -> None:
        """Of a partition in doubt so many `messages` are: as many as one batch may have had."""
        self._engine, self._messages = engine, messages
        self._worker = f"{worker}/{new_id()}"  # another life of the same host and process number is another worker
        self._assignment = 0
        self._entered: set[Place] = set()
        self._left: dict[Place, int] = {}
        self._orderly = True

    def enter(self, messages: Iterable[Received]) -> None:
        """Have the partitions of these messages entered before they are worked.

        Raises:
            sqlalchemy.exc.DBAPIError: the database is away; nothing has happened.
        """
        messages = list(messages)
        assignment = max(message.assignment for message in messages)
        if assignment != self._assignment:
            self._assignment, self._entered, self._left = assignment, set(), {}
        places = sorted({_place(message) for message in messages} - self._entered)
        if not places:
            return
        found = self._enter(places)
        if found:
            log.warning("the last worker did not leave: working chunk by chunk", partitions=[p for _, p in found])
        self._left.update(dict.fromkeys(found, self._messages))
        self._entered.update(places)

    def divide(self, messages: Sequence[Received]) -> tuple[list[Received], list[Received]]:
        """Those of these messages that are to be worked one by one, the first of their partitions, and the others."""
        doubted, certain = [], []
        for message in messages:
            if self._left.get(_place(message), 0) > 0:
                self._left[_place(message)] -= 1
                doubted.append(message)
            else:
                certain.append(message)
        return doubted, certain

    def leave(self) -> None:
        """Take this worker's partitions out again, unless it ends badly; what cannot be is doubted by the next one."""
        if not self._orderly:
            return
        self._entered = set()
        try:
            with self._engine.begin() as connection:
                connection.execute(delete(partitions_in_work).where(_ENTERED.worker == self._worker))
        except SQLAlchemyError as error:
            log.warning("partitions not given back in order", reason=first_line(error))

    def end_badly(self) -> None:
        """An error nobody foresaw ends this worker: the next one is to doubt what it was working."""
        self._orderly = False

    def _enter(self, places: list[Place]) -> list[Place]:
        values = [{"topic": topic, "partition": partition, "worker": self._worker} for topic, partition in places]
        enter = insert(partitions_in_work).values(values)
        mine = {"worker": enter.excluded.worker, "since": enter.excluded.since}
        keys = [_ENTERED.topic, _ENTERED.partition]
        with self._engine.begin() as connection:
            query = select(_ENTERED.topic, _ENTERED.partition).where(tuple_(*keys).in_(places))
            found = [(row.topic, row.partition) for row in connection.execute(query.with_for_update())]
            connection.execute(enter.on_conflict_do_update(index_elements=keys, set_=mine))
        return sorted(found)


def _place(message: Received) -> Place:
    return message.topic, message.partition
