"""[retention]: how long the journal keeps what."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class RetentionConfig(BaseModel):
    """[retention]: applied in the background, a few rows at a time, once a run is over and a key has expired."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    payloads: Literal["full", "redacted", "off"] = Field(
        default="full",
        description="What is kept of requests, answers and events once nobody needs them to answer or to resume: all "
        "(after the guards), all but secrets, or nothing. A call without key and run is never stored otherwise. Who "
        "asked which model, and what it cost, stays in any case.",
    )
    payload_days: float | None = Field(
        default=None, ge=0, description="Days after which payloads go in any case; with `off` they go at once."
    )
    calls_days: float | None = Field(
        default=None, gt=0, description="Days after which calls without a run are deleted. Without: never."
    )
    runs_days: float | None = Field(
        default=None, gt=0, description="Days after which finished runs are deleted, with their calls. Without: never."
    )
    bill_days: float | None = Field(
        default=None, gt=0, description="Days after which the hours of the bill are deleted. Without: never."
    )
    every_seconds: float = Field(default=60.0, gt=0, description="How often a worker looks for what may go.")
