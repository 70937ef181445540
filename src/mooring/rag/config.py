"""The `[rag]` section of mooring.toml."""

from pydantic import BaseModel, ConfigDict, Field


class RagConfig(BaseModel):
    """How documents are read, cut and searched."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    splitter: str = Field(default="structure", description="Which splitter cuts documents into passages.")
    passage_tokens: int = Field(
        default=200, ge=16, le=4000, description="Most tokens of a passage, estimated at 4 bytes each."
    )
    max_file_bytes: int = Field(default=4_194_304, ge=1, description="Larger files are listed as unreadable.")
    max_files: int = Field(default=20_000, ge=1, description="A source with more files is refused.")
    passages: int = Field(default=6, ge=1, le=50, description="How many passages a question is answered from.")
    model: str = Field(default="local/reader", description="Which model answers questions about documents.")
