"""One model call on OpenAI's chat wire: the body from what the caller said, the completion from what came."""

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import msgspec
from pydantic import BaseModel, ValidationError

from mooring.core.errors import UpstreamMalformed
from mooring.core.money import nanos
from mooring.core.text import shorten
from mooring.core.usage import Usage

from .events import Event, Finished, TextDelta, ToolCall
from .results import Completion, ToolRequest
from .transport import Reply, SseLine, error_of

M = TypeVar("M", bound=BaseModel)
Messages = str | Sequence[Mapping[str, Any]]


def chat_body(
    messages: Messages, model: str, options: Mapping[str, Any], *, output: type[BaseModel] | None = None
) -> dict[str, Any]:
    """The request's body; `options` are the wire's own fields (`temperature`, `tools`, ...), sent as they are."""
    turns = [{"role": "user", "content": messages}] if isinstance(messages, str) else [dict(turn) for turn in messages]
    body: dict[str, Any] = {"model": model, "messages": turns}
    body.update({name: value for name, value in options.items() if value is not None})
    if output is not None:
        body["response_format"] = response_format(output)
    return body


def response_format(output: type[BaseModel]) -> dict[str, Any]:
    """Asks for JSON that fits the model's schema."""
    return {"type": "json_schema", "json_schema": {"name": output.__name__, "schema": output.model_json_schema()}}


def parse_output(output: type[M], text: str) -> M:
    """The text as a validated object.

    Raises:
        UpstreamMalformed: the model's text does not fit.
    """
    try:
        return output.model_validate_json(text)
    except ValidationError as error:
        faults = "; ".join(
            f"{'.'.join(map(str, fault['loc'])) or 'text'}: {fault['msg']}"
            for fault in error.errors(include_url=False, include_input=False)
        )
        raise UpstreamMalformed(
            f"The model's answer is no {output.__name__}: {faults}. It said: {shorten(text)}", is_billable=True
        ) from error


def completion_of(reply: Reply) -> Completion:
    """An unstreamed answer."""
    try:
        choice = reply.data["choices"][0]
        return _completion(
            choice["message"],
            choice.get("finish_reason") or "stop",
            reply.data.get("model", ""),
            usage_of(reply.data.get("usage")),
            call_id=reply.call_id,
            cost_usd=reply.cost_usd,
            is_replayed=reply.is_replayed,
        )
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        raise UpstreamMalformed("The server's answer is no chat completion.", is_billable=True) from error


def _completion(
    message: dict[str, Any],
    finish_reason: str,
    model: str,
    usage: Usage | None,
    *,
    call_id: str | None,
    cost_usd: str | None,
    is_replayed: bool,
) -> Completion:
    calls = tuple(
        ToolRequest(id=call["id"], name=call["function"]["name"], arguments=call["function"].get("arguments") or "")
        for call in message.get("tool_calls") or ()
    )
    return Completion(
        text=message.get("content") or "",
        message=message,
        finish_reason=finish_reason,
        model=model,
        tool_calls=calls,
        usage=usage,
        call_id=call_id,
        cost_nanos=None if cost_usd is None else nanos(cost_usd),
        is_replayed=is_replayed,
    )


def usage_of(wire: Mapping[str, Any] | None) -> Usage | None:
    """OpenAI's words for usage in ours."""
    if not wire:
        return None
    inputs, outputs = wire.get("prompt_tokens_details") or {}, wire.get("completion_tokens_details") or {}
    return Usage(
        input_tokens=wire.get("prompt_tokens") or 0,
        output_tokens=wire.get("completion_tokens") or 0,
        cached_input_tokens=inputs.get("cached_tokens") or 0,
        input_audio_tokens=inputs.get("audio_tokens") or 0,
        reasoning_tokens=outputs.get("reasoning_tokens") or 0,
        output_audio_tokens=outputs.get("audio_tokens") or 0,
    )


class ChunkReader:
    """Adds a stream's chunks up to the message that an unstreamed answer would hold."""

    def __init__(self, *, call_id: str | None = None, is_replayed: bool = False) -> None:
        self.is_done = False
        self._call_id = call_id
        self._cost_usd: str | None = None
        self._is_replayed = is_replayed
        self._texts: list[str] = []
        self._calls: dict[int, dict[str, Any]] = {}
        self._finish_reason: str | None = None
        self._usage: Usage | None = None
        self._model = ""

    def read(self, line: SseLine) -> Iterator[TextDelta]:
        """The new text of one event.

        Raises:
            MooringError: the stream ended with an error event.
        """
        if line.comment:
            self._comment(line.comment)
        elif line.data == "[DONE]":
            self.is_done = True
        elif line.data:
            yield from self._chunk(msgspec.json.decode(line.data))

    def completion(self) -> Completion:
        """The whole answer.

        Raises:
            UpstreamMalformed: the stream stopped before its terminal event.
        """
        if not self.is_done or self._finish_reason is None:
            raise UpstreamMalformed("The stream ended before its answer was whole.", is_billable=True)
        message: dict[str, Any] = {"role": "assistant", "content": "".join(self._texts) or None}
        if self._calls:
            message["tool_calls"] = [self._calls[index] for index in sorted(self._calls)]
        return _completion(
            message,
            self._finish_reason,
            self._model,
            self._usage,
            call_id=self._call_id,
            cost_usd=self._cost_usd,
            is_replayed=self._is_replayed,
        )

    def _comment(self, comment: str) -> None:
        head, *pairs = comment.split(" ")
        if head == "mooring":
            facts = dict(pair.partition("=")[::2] for pair in pairs)
            self._call_id = facts.get("call") or self._call_id
            self._cost_usd = facts.get("cost_usd") or self._cost_usd

    def _chunk(self, chunk: dict[str, Any]) -> Iterator[TextDelta]:
        if "error" in chunk:
            raise error_of(int(chunk["error"].get("status") or 502), msgspec.json.encode(chunk))
        self._model = chunk.get("model") or self._model
        self._usage = usage_of(chunk.get("usage")) or self._usage
        for choice in chunk.get("choices") or ():
            delta = choice.get("delta") or {}
            if text := delta.get("content"):
                self._texts.append(text)
                yield TextDelta(text)
            for call in delta.get("tool_calls") or ():
                self._tool_call(call)
            self._finish_reason = choice.get("finish_reason") or self._finish_reason

    def _tool_call(self, delta: dict[str, Any]) -> None:
        call = self._calls.setdefault(
            delta.get("index", len(self._calls)),
            {"id": "", "type": "function", "function": {"name": "", "arguments": ""}},
        )
        call["id"] = delta.get("id") or call["id"]
        function = delta.get("function") or {}
        call["function"]["name"] = function.get("name") or call["function"]["name"]
        call["function"]["arguments"] += function.get("arguments") or ""


async def typed_events(lines: AsyncIterator[SseLine], reader: ChunkReader) -> AsyncIterator[Event]:
    """A model call's stream as typed events, the completion in the last one."""
    async for line in lines:
        for delta in reader.read(line):
            yield delta
    completion = reader.completion()
    for call in completion.tool_calls:
        yield ToolCall(call.id, call.name, call.arguments)
    yield Finished("completed", output=completion.text, completion=completion)
