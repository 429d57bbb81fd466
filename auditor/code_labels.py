"""Error codes as labels of a metric: whoever can write results must not make a new series by each word."""

import re

from rowstream.records.errors import ERROR_CODES

OTHER = "other"
"""Stands for whatever is no code of ours and has not the form of a record type's own."""
_OURS = frozenset(known.code for known in ERROR_CODES)
_OF_A_RECORD_TYPE = re.compile(r"(?:VAL|BIZ)_[A-Z0-9_]{1,60}")


class CodeLabels:
    """Chooses the label of a code: itself if it is one of ours or among the first `at_most` of record types' own."""

    def __init__(self, *, at_most: int = 500) -> None:
        self._at_most = at_most
        self._theirs: set[str] = set()

    def of(self, code: str) -> str:
        """The label of this code, which a message gave."""
        if code in _OURS or code in self._theirs:
            return code
        if len(self._theirs) < self._at_most and _OF_A_RECORD_TYPE.fullmatch(code):
            self._theirs.add(code)
            return code
        return OTHER
