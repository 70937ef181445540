"""Refuses requests with too much text or too many messages, and answers that run too long."""

import msgspec
from pydantic import Field

from mooring.core.messages import ChatRequest, ChatResponse, MediaPart, ToolCallPart, ToolResultPart
from mooring.core.text import utf8_bytes
from mooring.guardrails.check import ALLOW, CheckSettings, GuardContext, GuardrailCheck, Subject, Verdict


class Settings(CheckSettings):
    """`[[guardrails.checks]]` with `type = "size_limit"`."""

    max_request_bytes: int = Field(4_000_000, gt=0, description="The request as canonical JSON, media included.")
    max_messages: int = Field(4_000, gt=0, description="Messages of one request.")
    max_response_bytes: int = Field(4_000_000, gt=0, description="Texts and tool arguments of the answer.")


class Check(GuardrailCheck[Settings]):
    """Counts the canonical form, so that no wire format is a way around it. Answers are counted as they come."""

    Settings = Settings
    sees = frozenset({"request", "response"})

    def check(self, subject: Subject, context: GuardContext, /) -> Verdict:
        if isinstance(subject, ChatRequest):
            if len(subject.messages) > self.settings.max_messages:
                return self._over("messages", len(subject.messages), self.settings.max_messages)
            size, limit = len(msgspec.json.encode(subject)), self.settings.max_request_bytes
        elif isinstance(subject, ChatResponse):
            size, limit = _answer_bytes(subject), self.settings.max_response_bytes
        else:
            return ALLOW
        return self._over("bytes", size, limit) if size > limit else ALLOW

    def max_stream_bytes(self) -> int | None:
        """A stream is stopped where its events pass this."""
        return self.settings.max_response_bytes

    def _over(self, unit: str, size: int, limit: int) -> Verdict:
        return Verdict(action="block", reason=f"{size} {unit} are over the limit of {limit}", check=self.name)


def _answer_bytes(response: ChatResponse) -> int:
    """What a stream of the same answer would have counted."""
    size = 0
    for choice in response.choices:
        for part in choice.message.parts:
            if isinstance(part, ToolCallPart):
                size += utf8_bytes(part.arguments)
            elif not isinstance(part, MediaPart | ToolResultPart):
                size += utf8_bytes(part.text)
    return size
