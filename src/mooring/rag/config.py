"""The `[rag]` section of mooring.toml."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class RagConfig(BaseModel):
    """How documents are read, cut and searched."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    splitter: str = Field(default="structure", description="Which splitter cuts documents into passages.")
    passage_tokens: int = Field(
        default=200, ge=16, le=4000, description="Most tokens of a passage, estimated at 4 bytes each."
    )
    max_file_bytes: int = Field(default=32 * 1024 * 1024, ge=1, description="Larger files are listed as unreadable.")
    max_files: int = Field(default=20_000, ge=1, description="A source with more files is refused.")
    parse_memory_bytes: int = Field(
        default=1_073_741_824, ge=268_435_456, description="Most memory of the process that parses PDF and HTML."
    )
    parse_seconds: float = Field(default=60.0, gt=0, description="Longest time for one PDF or HTML file.")
    embedding_model: str = Field(
        default="local/minilm", description="Whose vectors passages and questions get; empty: search by keywords only."
    )
    vector_share: float = Field(
        default=0.5, ge=0, le=1, description="Share of the vectors in the fused score: 0 words only, 1 vectors only."
    )
    reranker: Literal["sentence", "none"] = Field(
        default="sentence", description="What puts the first passages into their last order; it needs vectors."
    )
    passages: int = Field(default=6, ge=1, le=50, description="How many passages a question is answered from.")
    model: str = Field(default="local/reader", description="Which model answers questions about documents.")
