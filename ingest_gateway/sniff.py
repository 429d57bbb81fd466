"""A file that is no text is refused at the door, by its first bytes; whoever sent it hears it at once.

What comes in without anybody waiting for an answer is told by the splitter, in the same words (`FMT_002`).
"""

from rowstream.storage.file_kinds import SNIFF_BYTES, what_is_no_text
from rowstream.storage.s3 import S3Store
from rowstream.storage.store import ObjectInfo


def why_no_text(start: bytes) -> str | None:
    """Why a file that starts like this is no table of text, and the way out; None if it may be one."""
    reason = what_is_no_text(start)
    return f"the file is not text: {reason}" if reason else None


def look(store: S3Store, bucket: str, key: str) -> tuple[ObjectInfo, str | None]:
    """What a store says of an object, and why it is no text.

    Raises:
        ObjectMissing: there is none.
        StoreUnavailable: the store does not answer.
    """
    found, start = store.peek(bucket, key, SNIFF_BYTES)
    return found, why_no_text(start)
