"""The record processor's slice of the configuration."""

from pydantic import BaseModel, Field

from rowstream.messages.patience import SCHEMA_SECONDS
from rowstream.runtime.settings import ServiceSettings


class ProcessorSlice(BaseModel):
    """How chunks are taken and loaded."""

    batch_chunks: int = Field(32, ge=1, le=256, description="Most chunks taken into one transaction")
    chunk_tries: int = Field(
        3, ge=1, le=20, description="Tries of a chunk that fails alone, or ends its worker, before it stays unprocessed"
    )
    lock_patience_seconds: float = Field(
        10.0, gt=0, description="Seconds to wait for a lane before a session of ours that holds it is ended"
    )
    schema_patience_seconds: float = Field(
        SCHEMA_SECONDS,
        ge=0,
        description="Seconds to wait for schemas that nobody has registered, at most once in ten minutes;"
        " then messages written by them count as unreadable",
    )
    announce_sweep_seconds: float = Field(
        10.0, gt=0, description="Seconds after which accepted records that nobody announced are announced by a sweep"
    )


class ProcessorSettings(ServiceSettings):
    """All that the record processor is configured by."""

    processor: ProcessorSlice = ProcessorSlice()
