"""Where services write the schemas they speak, so that any reader can look up a writer's."""

import threading

from sqlalchemy import Engine, select
from sqlalchemy.dialects.postgresql import insert

from rowstream.database.tables import message_schemas
from rowstream.messages import codec


class SchemaTable:
    """The table `message_schemas` as a `codec.SchemaStore`; what was found once is remembered."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._known: dict[bytes, codec.Schema] = {}
        self._lock = threading.Lock()

    def register(self) -> None:
        """Write every schema of this version; call it once when a service starts."""
        rows = [
            {"fingerprint": contract.fingerprint, "name": contract.name, "schema": contract.schema}
            for contract in codec.contracts()
        ]
        with self._engine.begin() as connection:
            connection.execute(insert(message_schemas).values(rows).on_conflict_do_nothing())

    def find(self, fingerprint: bytes) -> codec.Schema | None:
        """The schema with this fingerprint, or None if no service has written it yet."""
        with self._lock:
            if fingerprint not in self._known:
                query = select(message_schemas.c.schema).where(message_schemas.c.fingerprint == fingerprint)
                with self._engine.connect() as connection:
                    found = connection.execute(query).scalar_one_or_none()
                if found is None:
                    return None
                self._known[fingerprint] = found
            return self._known[fingerprint]
