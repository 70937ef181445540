"""The `[guardrails]` section of `mooring.toml`."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class GuardrailsConfig(BaseModel):
    """Which checks run, in this order. Each entry is the check's own section: `type`, `stages` and its options."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    checks: tuple[dict[str, Any], ...] = Field(
        default=(),
        description='The checks in their order, for example `[[guardrails.checks]]` with `type = "secrets_mask"`.',
    )
