"""[tracing]: how long sums and foreign spans are kept, and where spans are sent."""

from pydantic import BaseModel, ConfigDict, Field


class TracingConfig(BaseModel):
    """[tracing]: spans, their sums, and where else they go."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    minute_days: int = Field(default=7, ge=1, description="How long sums per minute are kept.")
    hour_days: int = Field(default=400, ge=1, description="How long sums per hour and counted bytes are kept.")
    foreign_days: int = Field(
        default=30, ge=1, description="How long spans that other programs sent to `POST /v1/traces` are kept."
    )
    otlp_endpoint: str | None = Field(
        default=None,
        pattern=r"^https?://",
        description="A collector that gets every span as OTLP/HTTP JSON: its address without `/v1/traces`. A private "
        "one beyond loopback must be in [gateway] allowed_networks.",
    )
    otlp_headers: dict[str, str] = Field(
        default={}, description="Headers for it; each value is a reference, `env:NAME` or `file:PATH`."
    )
