"""Starts the embedded broker anew when it lets a service into no group any more.

Where members of a group leave, or vanish, while others join, it can go on waiting for one that is no more, for good
(tried: seven minutes). A new broker has lost its whole log, which everything outlives.
"""

import asyncio
import http.client
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress

from rowstream.stack.probes import get, missing
from rowstream.stack.runner import Jammed
from rowstream.stack.supervisor import Supervisor

PATIENCE_SECONDS = 40.0
"""Joining takes some seconds; 23 at most were seen."""
_LOOK_SECONDS = 5.0
_READY_SECONDS = 60.0
_WAITED_FOR = "broker"  # as services name it at /readyz


class Jam:
    """For how long each service has waited for the broker; asks no clock itself."""

    def __init__(self, patience: float = PATIENCE_SECONDS) -> None:
        self._patience = patience
        self._since: dict[str, float] = {}

    def looked(self, now: float, waiting: Iterable[str]) -> str | None:
        """The service that has waited for too long, if there is one; `waiting` are those that wait now.

        After it has named one, all are waited for anew.
        """
        self._since = {service: self._since.get(service, now) for service in waiting}
        late = [service for service, since in self._since.items() if now - since >= self._patience]
        if late:
            self._since.clear()
        return min(late, default=None)


def waits_for_broker(ready: bytes) -> bool:
    """Whether this answer of /readyz says so."""
    return any(what.startswith(_WAITED_FOR) for what in missing(ready))


class Unjammer:
    """Watches the services of a running system; `run` is a task of its own, to be cancelled."""

    def __init__(self, broker: str, ports: Mapping[str, int], supervisor: Supervisor, jam: Jam | None = None) -> None:
        """`broker` is its part, `ports` where each service answers /readyz."""
        self._broker, self._ports, self._supervisor = broker, ports, supervisor
        self._jam = jam or Jam()

    async def run(self) -> None:
        """Look every few seconds; a broker that does not come back is left to the supervisor."""
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            waiting = await asyncio.to_thread(self._waiting)
            if service := self._jam.looked(time.monotonic(), waiting):
                self._supervisor.tell(Jammed(self._broker, service))
                with suppress(TimeoutError):
                    await self._supervisor.start_anew(self._broker, seconds=_READY_SECONDS)

    def _waiting(self) -> list[str]:
        return [service for service, port in self._ports.items() if _waits(port)]


def _waits(port: int) -> bool:
    try:
        return waits_for_broker(get(port, "/readyz")[1])
    except (OSError, http.client.HTTPException):
        return False  # it is frozen, or being started again
