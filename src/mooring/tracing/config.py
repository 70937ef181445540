"""[tracing]: how long sums and foreign spans are kept, and where spans are sent."""

from pydantic import BaseModel, ConfigDict, Field


class TracingConfig(BaseModel):
    """[tracing]: spans, their sums, and where else they go."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    minute_days: int = Field(default=7, ge=1, description="How long sums per minute are kept.")
    hour_days: int = Field(default=400, ge=1, description="How long sums per hour are kept.")
