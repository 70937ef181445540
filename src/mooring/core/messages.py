"""What travels, whatever the wire: canonical chat requests and responses.

A codec maps a wire format to these types and back. Bodies that pass through on the same wire never need the way back.
"""

from typing import Any, Literal

import msgspec

from .usage import Usage

Role = Literal["system", "user", "assistant", "tool"]
FinishReason = Literal["stop", "length", "tool_calls", "content_filter", "error"]


class TextPart(msgspec.Struct, frozen=True, tag="text"):
    """Plain text."""

    text: str


class MediaPart(msgspec.Struct, frozen=True, tag="media", omit_defaults=True):
    """An image, audio clip or file: by `url`, by base64 `data` with its `media_type`, or by the vendor's `file_id`."""

    kind: Literal["image", "audio", "file"]
    url: str | None = None
    data: str | None = None
    media_type: str | None = None
    file_id: str | None = None
    name: str | None = None
    detail: str | None = None


class ThinkingPart(msgspec.Struct, frozen=True, tag="thinking", omit_defaults=True):
    """A model's reasoning, as text or as the opaque `signature` / `data` that must be sent back."""

    text: str = ""
    signature: str | None = None
    data: str | None = None


class RefusalPart(msgspec.Struct, frozen=True, tag="refusal"):
    """The model's own words of refusal."""

    text: str


class ToolCallPart(msgspec.Struct, frozen=True, tag="tool_call", omit_defaults=True):
    """A call that the model asks for; `arguments` is JSON as the model wrote it, valid or not.

    `signature` is what a vendor wants back with the call (Gemini's thought signature).
    """

    id: str
    name: str
    arguments: str
    signature: str | None = None


class ToolResultPart(msgspec.Struct, frozen=True, tag="tool_result", omit_defaults=True):
    """What the tool with call id `id` answered."""

    id: str
    parts: tuple["TextPart | MediaPart", ...]
    name: str | None = None
    is_error: bool = False


Part = TextPart | MediaPart | ThinkingPart | RefusalPart | ToolCallPart | ToolResultPart


class Message(msgspec.Struct, frozen=True, omit_defaults=True):
    """One turn. `name` is the participant's, where the wire knows one; `cache` marks the end of a cacheable prefix."""

    role: Role
    parts: tuple[Part, ...]
    name: str | None = None
    cache: bool = False

    @property
    def text(self) -> str:
        """Its plain text, joined."""
        return "".join(part.text for part in self.parts if isinstance(part, TextPart))

    @property
    def tool_calls(self) -> tuple[ToolCallPart, ...]:
        return tuple(part for part in self.parts if isinstance(part, ToolCallPart))


class ToolSpec(msgspec.Struct, frozen=True, omit_defaults=True):
    """A tool as the model sees it; `parameters` is a JSON Schema of an object."""

    name: str
    description: str = ""
    parameters: dict[str, Any] = {}
    is_strict: bool | None = None


class ToolChoice(msgspec.Struct, frozen=True, omit_defaults=True):
    """`name` only with mode `named`."""

    mode: Literal["auto", "none", "required", "named"]
    name: str | None = None


class OutputFormat(msgspec.Struct, frozen=True, omit_defaults=True):
    """`json_schema` carries `schema` (and maybe a name); `json_object` asks for any object."""

    kind: Literal["text", "json_object", "json_schema"]
    schema: dict[str, Any] | None = None
    name: str | None = None
    is_strict: bool | None = None


class ChatRequest(msgspec.Struct, frozen=True, omit_defaults=True):
    """One request to a chat model. `extra` holds the wire's fields that have no canonical name, untouched."""

    model: str
    messages: tuple[Message, ...]
    tools: tuple[ToolSpec, ...] = ()
    tool_choice: ToolChoice | None = None
    allows_parallel_tools: bool | None = None
    output: OutputFormat | None = None
    max_output_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None
    n: int = 1
    reasoning_effort: str | None = None
    is_stream: bool = False
    wants_usage: bool = True
    user: str | None = None
    metadata: dict[str, str] = {}
    extra: dict[str, Any] = {}


class Choice(msgspec.Struct, frozen=True):
    """One of `n` answers."""

    index: int
    message: Message
    finish_reason: FinishReason


class ChatResponse(msgspec.Struct, frozen=True, omit_defaults=True):
    """One whole answer. `usage` is None where the provider sent none."""

    id: str
    model: str
    choices: tuple[Choice, ...]
    usage: Usage | None = None
    created_at: int = 0
    extra: dict[str, Any] = {}

    @property
    def text(self) -> str:
        """The first choice's text."""
        return self.choices[0].message.text if self.choices else ""
