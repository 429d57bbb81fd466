"""What tests may do to any broker."""

from abc import abstractmethod
from dataclasses import dataclass

from tests.servers.server import Server


@dataclass(kw_only=True)
class Broker(Server):
    """A broker; some keep their log when they end, others do not."""

    keeps_its_log: bool

    @abstractmethod
    def lose_log(self) -> None:
        """Take the log away while the broker is down, so that it comes back without a message, topic or offset."""
