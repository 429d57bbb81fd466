"""Every kind of fault: a context that strikes when it is entered, says what it hit, and heals when it is left."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from types import MappingProxyType

from tests.fault.faults import messages, processes, servers, versions, ways
from tests.fault.scene import Scene

Fault = Callable[[Scene], AbstractContextManager[str]]

FAULTS: Mapping[str, Fault] = MappingProxyType(
    {**processes.FAULTS, **servers.FAULTS, **ways.FAULTS, **messages.FAULTS, **versions.FAULTS}
)
