"""Why a chunk is given up on: what its dead letter says. Pure."""

from dataclasses import dataclass

from record_processor.attempts import Tries
from record_processor.reactions import code_of, reason_of
from rowstream.records import registry


@dataclass(frozen=True)
class Failure:
    """Why a chunk stays unprocessed.

    Attributes:
        code: `DB_002`, or one of `UNK_*`.
        reason: For people; never with a cell.
        tries: How often it was tried alone.
    """

    code: str
    reason: str
    tries: int = 0


def unreadable(reason: str) -> Failure:
    """Its message cannot be read."""
    return Failure("UNK_003", f"the chunk cannot be read: {reason}")


def unknown_type(error: registry.UnknownRecordType) -> Failure:
    """Nobody here knows its record type."""
    return Failure("UNK_004", str(error))


def noted(error: BaseException) -> str:
    """A try's end, as it is noted beside the tries."""
    return f"{code_of(error)} {reason_of(error)}"


def exhausted(tries: Tries) -> Failure:
    """It was tried as often as it may be."""
    if tries.last_error is None:
        reason = f"its worker ended in the middle of it, {tries.before} times"
        return Failure("UNK_002", reason, tries.before)
    code, _, reason = tries.last_error.partition(" ")
    return Failure(code, f"it failed alone {tries.before} times, the last time with {reason}", tries.before)
