"""The SDK that a record type is written with: a declaration, and the codes of what can be wrong with a record."""

from rowstream.records.errors import ERROR_CODES, CellError, ErrorCode
from rowstream.records.record_type import RecordType, Sampler
from rowstream.records.rules import BusinessRule, Derived

__all__ = ["ERROR_CODES", "BusinessRule", "CellError", "Derived", "ErrorCode", "RecordType", "Sampler"]
