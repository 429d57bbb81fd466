"""Notices that this process stood still for so long that its group may have gone on without it.

A process that was frozen, or that got no time, believes that it is a member until its next heartbeat is answered.
"""


class Absence:
    """Times between two looks at the client; asks no clock itself. All times are seconds of one monotonic clock."""

    def __init__(self, now: float, *, session: float) -> None:
        """`session`: how long the group waits for a heartbeat; several are sent in that time."""
        self._tolerated = session / 2
        self._looked, self._unsure_until = now, now

    def looked(self, now: float, *, waited: float) -> None:
        """A look at the client has ended, which was to take up to `waited` seconds."""
        if now - self._looked - waited > self._tolerated:
            self._unsure_until = now + self._tolerated  # by then a heartbeat has been answered
        self._looked = now

    def is_over(self, now: float) -> bool:
        """Whether what the client believes of its membership is what the group believes."""
        return now - self._looked <= self._tolerated and now >= self._unsure_until
