"""The wire of OpenAI's chat completions: whole answers, stream events, errors, as this double writes them."""

from collections.abc import Iterator, Sequence
from itertools import zip_longest
from typing import Any, NamedTuple

import msgspec

from .generate import Choice, Piece, pieces

_encode = msgspec.json.Encoder().encode
DONE = b"data: [DONE]\n\n"


class Usage(NamedTuple):
    """The figures of one answer, inclusive totals with their parts."""

    input_tokens: int
    output_tokens: int
    cached_input_tokens: int
    reasoning_tokens: int
    has_details: bool
    cache_write_tokens: int = 0
    is_kept_for_an_hour: bool = False


class Frame(NamedTuple):
    """One thing that the server writes, or (kind `tick`) only generates, with the tokens that it adds to the bill."""

    kind: str  # tick, head, role, event, finish, usage, done, end, answer, raw
    data: bytes
    output_tokens: int = 0
    reasoning_tokens: int = 0


def error_body(
    message: str, *, kind: str, param: str | None = None, code: str | None = None, status: int = 500
) -> bytes:
    """An error as OpenAI shapes it."""
    return _encode({"error": {"message": message, "type": kind, "param": param, "code": code}})


def usage_fields(usage: Usage) -> dict[str, Any]:
    """`usage` on the wire; older models leave the details out."""
    fields: dict[str, Any] = {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
    }
    if usage.has_details:
        fields["prompt_tokens_details"] = {"cached_tokens": usage.cached_input_tokens, "audio_tokens": 0}
        fields["completion_tokens_details"] = {
            "reasoning_tokens": usage.reasoning_tokens,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        }
    return fields


class Completion(NamedTuple):
    """An answer that is ready to be written, in one piece or many."""

    id: str
    created: int
    model: str
    choices: Sequence[Choice]
    usage: Usage

    def body(self) -> bytes:
        """The whole answer."""
        return _encode(
            {
                "id": self.id,
                "object": "chat.completion",
                "created": self.created,
                "model": self.model,
                "choices": [_choice_fields(index, choice) for index, choice in enumerate(self.choices)],
                "usage": usage_fields(self.usage),
                "service_tier": "default",
                "system_fingerprint": "fp_sim",
            }
        )

    def whole_frames(self, body: bytes, *, is_paced: bool) -> Iterator[Frame]:
        """An unstreamed answer; paced, its tokens are generated one by one before it is sent."""
        if is_paced:
            for _, piece in _interleaved(self.choices):
                yield Frame("tick", b"", piece.output_tokens, piece.reasoning_tokens)
            yield Frame("finish", b"")
        else:
            yield Frame("finish", b"", self.usage.output_tokens, self.usage.reasoning_tokens)
        yield Frame("answer", body)

    def stream_frames(self, *, has_usage: bool) -> Iterator[Frame]:
        """A streamed answer; usage only for who asked."""
        head = _encode({"id": self.id, "object": "chat.completion.chunk", "created": self.created, "model": self.model})
        start = b"data: " + head[:-1] + b',"service_tier":"default","system_fingerprint":"fp_sim","choices":['
        rest = b'],"usage":null}\n\n' if has_usage else b"]}\n\n"
        middle = b',"logprobs":null,"finish_reason":null}' + rest
        yield Frame("head", b"")
        for index, choice in enumerate(self.choices):
            content = b"null" if choice.calls and not choice.text else b'""'
            delta = b'{"index":%d,"delta":{"role":"assistant","content":%b,"refusal":null}' % (index, content)
            yield Frame("role", start + delta + middle)
        for index, piece in _interleaved(self.choices):
            data = b'%b{"index":%d,"delta":%b%b' % (start, index, piece.delta, middle)
            yield Frame("event", data, piece.output_tokens, piece.reasoning_tokens)
        for index, choice in enumerate(self.choices):
            end = b'{"index":%d,"delta":{},"logprobs":null,"finish_reason":"%b"}'
            yield Frame("finish", start + end % (index, choice.finish_reason.encode()) + rest)
        if has_usage:
            yield Frame("usage", start + b'],"usage":' + _encode(usage_fields(self.usage)) + b"}\n\n")
        yield Frame("done", DONE)
        yield Frame("end", b"")


def _interleaved(choices: Sequence[Choice]) -> Iterator[tuple[int, Piece]]:
    """The pieces of all choices in turn, as a real stream with `n` mixes them."""
    if len(choices) == 1:
        for piece in pieces(choices[0]):
            yield 0, piece
        return
    for row in zip_longest(*[pieces(choice) for choice in choices]):
        for index, one in enumerate(row):
            if one is not None:
                yield index, one


def _choice_fields(index: int, choice: Choice) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": choice.text or None, "refusal": None}
    if not choice.calls:
        message["content"] = choice.text
    if choice.reasoning:
        message["reasoning_content"] = choice.reasoning
    if choice.calls:
        message["tool_calls"] = [
            {"id": made.id, "type": "function", "function": {"name": made.name, "arguments": made.arguments}}
            for made in choice.calls
        ]
    return {"index": index, "message": message, "logprobs": None, "finish_reason": choice.finish_reason}
