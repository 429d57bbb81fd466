"""The SDK that a record type is written with: a declaration, and the codes of what can be wrong with a record.

What needs Polars is imported when it is first asked for: the gateway and the auditor only want the codes and the names.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from rowstream.records.errors import ERROR_CODES, CellError, ErrorCode

if TYPE_CHECKING:
    from rowstream.records.record_type import RecordType, Sampler
    from rowstream.records.rules import BusinessRule, Derived

__all__ = ["ERROR_CODES", "BusinessRule", "CellError", "Derived", "ErrorCode", "RecordType", "Sampler"]

_MODULES = {
    "BusinessRule": "rowstream.records.rules",
    "Derived": "rowstream.records.rules",
    "RecordType": "rowstream.records.record_type",
    "Sampler": "rowstream.records.record_type",
}


def __getattr__(name: str) -> Any:
    """One of the names that are imported late (PEP 562)."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)
