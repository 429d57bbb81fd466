"""The splitter's slice of the configuration."""

from pydantic import BaseModel, Field

from rowstream.messages.patience import SCHEMA_SECONDS
from rowstream.runtime.settings import ServiceSettings


class SplitterSlice(BaseModel):
    """How uploads are split. What a plan pins (limits, lanes, chunk sizes) counts for uploads planned from now on."""

    slots: int = Field(10, ge=1, le=64, description="Uploads of any size that one splitter splits at a time")
    small_slots: int = Field(2, ge=0, le=64, description="Small uploads that it splits at a time beside these")
    small_bytes: int = Field(1_000_000, ge=1, description="Bytes of a file up to which it is small: a few chunks")
    lease_seconds: float = Field(
        10.0, gt=1, description="Seconds without a heartbeat after which another may take over"
    )
    heartbeat_seconds: float = Field(1.0, gt=0.1, description="Seconds between two heartbeats of a lease")
    poll_seconds: float = Field(2.0, gt=0, description="Seconds between two looks for uploads nobody holds")
    stall_seconds: float = Field(20.0, gt=1, description="Seconds after which a lane that stands still is sent again")
    window_chunks: int = Field(
        192, ge=1, description="Chunks sent and not yet in the ledger, of one upload; several share them"
    )
    queue_seconds: float = Field(
        1.5, gt=0, description="Seconds that what was sent of an upload should take to get into the ledger"
    )
    buffer_bytes: int = Field(
        28_000_000, ge=1_000_000, description="Bytes sent and not yet in the ledger, of all uploads of one splitter"
    )
    block_bytes: int = Field(3_145_728, ge=65_536, description="Bytes of a file read and parsed at a time")
    chunk_records: int = Field(
        1_000, ge=1, le=10_000, description="Most records in a chunk; fewer in files of many columns"
    )
    chunk_bytes: int = Field(400_000, ge=10_000, description="Most bytes of cells in a chunk; above the record limit")
    max_record_bytes: int = Field(262_144, ge=1_024, description="Largest record, in bytes; a larger one is rejected")
    max_columns: int = Field(1_000, ge=1, description="Most columns a file may have")
    max_lanes: int = Field(8, ge=1, le=256, description="Most lanes of one upload")
    lane_bytes: int = Field(
        2_000_000, ge=1, description="Bytes of file for each lane; the file's size decides how many"
    )
    schema_patience_seconds: float = Field(
        SCHEMA_SECONDS,
        ge=0,
        description="Seconds to wait for schemas that nobody has registered, at most once in ten minutes;"
        " then messages written by them count as unreadable",
    )


class SplitterSettings(ServiceSettings):
    """All that the splitter is configured by."""

    splitter: SplitterSlice = SplitterSlice()
