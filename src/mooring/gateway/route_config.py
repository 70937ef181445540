"""Settings of routes: how a model's targets are chosen, what they can do, and when one of them rests."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Strategy = Literal["ordered", "weighted", "cheapest", "fastest", "least_busy", "sticky", "task"]
Modality = Literal["text", "image", "audio", "file"]
JsonSupport = Literal["none", "object", "schema"]


class Section(BaseModel):
    """A frozen section that rejects unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class FactsConfig(Section):
    """What an upstream model can do. What is left out is not known, and excludes nothing by itself."""

    context_tokens: int | None = Field(default=None, gt=0, description="Its context: input and output together.")
    inputs: tuple[Modality, ...] | None = Field(default=None, description="What it can read.")
    tools: bool | None = Field(default=None, description="Whether it can call tools.")
    json_output: JsonSupport | None = Field(
        default=None, description="`none`, any JSON `object`, or output that follows a `schema`."
    )
    region: str | None = Field(default=None, description="Where it runs, such as `eu`.")
    parameters: tuple[str, ...] | None = Field(
        default=None, description="Fields of a request that it honours, beside model and messages."
    )


class NeedsConfig(Section):
    """What every target of a model must offer, beside what a request needs by itself."""

    region: str | None = Field(default=None, description="Only targets in this region.")
    context_tokens: int | None = Field(default=None, gt=0, description="At least so much context.")
    max_input_usd: float | None = Field(default=None, ge=0, description="Per million input tokens, at most.")
    max_output_usd: float | None = Field(default=None, ge=0, description="Per million output tokens, at most.")
    require_parameters: bool = Field(
        default=False, description="Only targets that are known to honour every parameter of the request."
    )


class MeaningConfig(Section):
    """Answers of a model that are given again to questions in other words."""

    model: str = Field(default="local/minilm", description="What makes the vectors of questions.")
    threshold: float = Field(
        default=0.96, gt=0, le=1, description="Cosine of two questions from which on they have the same answer."
    )
    patience_seconds: float = Field(
        default=5.0, gt=0, description="How long a call waits for its question's vector before it goes on without."
    )


class TaskConfig(Section):
    """What `mooring config routes train` made of examples, by its file and digest."""

    file: str = Field(default="", description="Where it lies, from the folder in which the server starts.")
    digest: str = Field(default="", pattern=r"^([0-9a-f]{64})?$", description="Of the file, as training printed it.")
    seconds: float = Field(
        default=2.0, gt=0, description="Longest wait for a text's vector; then the targets are tried as listed."
    )


class BreakerConfig(Section):
    """When a target rests. A target that rests is passed over while another can answer."""

    failures: int = Field(default=5, ge=0, description="Failures in a row after which a target rests; 0: never.")
    rest_seconds: float = Field(default=10.0, gt=0, description="First rest; each further one is twice as long.")
    most_rest_seconds: float = Field(
        default=300.0, gt=0, description="Longest rest, and the longest Retry-After that is believed."
    )
    attention_seconds: float = Field(
        default=60.0, gt=0, description="Rest of a target that refuses this server's key, or has no credit left."
    )
