"""The auditor's slice of the configuration."""

from pydantic import BaseModel, Field

from rowstream.messages.patience import SCHEMA_SECONDS
from rowstream.runtime.settings import ServiceSettings


class AuditorSlice(BaseModel):
    """How results are folded and how often the ledger is compared with what was folded."""

    batch_results: int = Field(500, ge=2, le=10_000, description="Most results folded in one transaction")
    linger_seconds: float = Field(
        0.05, gt=0, le=1, description="Seconds after which results are folded even when few have come"
    )
    reconcile_seconds: float = Field(5.0, gt=0, description="Seconds between two rounds of the reconciler")
    grace_seconds: float = Field(
        10.0, ge=0, description="Seconds that a result may be on its way before the reconciler takes it from the ledger"
    )
    unclaimed_seconds: float = Field(
        20.0, gt=0, description="Seconds after which an accepted upload that no splitter noted is announced again"
    )
    stuck_seconds: float = Field(60.0, gt=0, description="Seconds without any movement after which an upload is stuck")
    remind_seconds: float = Field(
        604_800.0,
        gt=0,
        description="Seconds after its upload has failed for which a chunk that was given up on is shown as such",
    )
    unknown_schema_seconds: float = Field(
        SCHEMA_SECONDS,
        ge=0,
        description="Seconds to wait for schemas that nobody has registered, at most once in ten minutes;"
        " then messages written by them are put aside",
    )


class AuditorSettings(ServiceSettings):
    """All that the auditor is configured by."""

    auditor: AuditorSlice = AuditorSlice()
