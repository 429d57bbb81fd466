"""How files may be sent: `ROWSTREAM_SENDING__...`."""

from pydantic import BaseModel, Field

_MEGABYTE = 10**6


class SendingSlice(BaseModel):
    """What the ways of sending a file allow, and how long what was begun is kept."""

    content_max_bytes: int = Field(
        100 * _MEGABYTE, ge=1, le=5_000 * _MEGABYTE, description="Largest file that is taken in one request, in bytes"
    )
    content_at_once: int = Field(
        8, ge=1, le=1_000, description="Files that are taken in one request at a time; each takes up to 10 MB of memory"
    )
    parts_keep_seconds: int = Field(
        604_800, ge=60, description="Seconds after which an upload in parts that was never completed is given up"
    )
    reference_prefix: str = Field(
        "{organization}/",
        max_length=500,
        description="What the keys of objects that are handed in by name begin with; {organization} stands for the"
        " id of the organization that they are for. Empty: every organization may name all objects in intake_buckets."
        " By Kafka it counts where intake_sources names more than one organization",
    )
    answers_keep_seconds: int = Field(
        86_400, ge=60, description="Seconds for which the answer to an Idempotency-Key is given again"
    )
    answer_within_seconds: int = Field(
        120, ge=1, description="Seconds after which a request with an Idempotency-Key that has no answer counts as lost"
    )
