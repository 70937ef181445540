"""The local models' end of the OpenAI chat wire: requests in, answers and stream chunks out.

Tokens are counted as words and marks: the reader's own measure, and never more than the text has bytes.
"""

import re
from typing import Any

import msgspec

from mooring.core.errors import InvalidRequest, MooringError, NotFound

_TOKEN = re.compile(r"\w+|[^\w\s]")

MODELS = ("reader",)


class _Turn(msgspec.Struct):
    role: str
    content: str | list[dict[str, Any]] | None = None

    @property
    def text(self) -> str:
        """Its text parts, joined."""
        if isinstance(self.content, list):
            return "".join(str(part.get("text", "")) for part in self.content if part.get("type") == "text")
        return self.content or ""


class _StreamOptions(msgspec.Struct):
    include_usage: bool = False


class Body(msgspec.Struct):
    """The fields of a request that matter here; the others change nothing."""

    model: str
    messages: list[_Turn]
    stream: bool | None = False
    stream_options: _StreamOptions | None = None
    n: int | None = 1

    @property
    def turns(self) -> list[tuple[str, str]]:
        return [(turn.role, turn.text) for turn in self.messages]

    @property
    def wants_usage(self) -> bool:
        return self.stream_options is not None and self.stream_options.include_usage


def decode(raw: bytes) -> Body:
    """The request.

    Raises:
        InvalidRequest: it is no chat request, or asks for several answers.
        NotFound: an unknown model.
    """
    try:
        body = msgspec.json.decode(raw, type=Body)
    except (msgspec.DecodeError, RecursionError) as error:
        raise InvalidRequest(
            f"The body is no chat request: {error}.", hint="Send JSON with model and messages."
        ) from error
    if body.model.removeprefix("local/") not in MODELS:
        raise NotFound(
            f"There is no local model '{body.model[:60]}'.", hint=f"Known: {', '.join(MODELS)}.", param="model"
        )
    if body.n not in (None, 1):
        raise InvalidRequest("The reader gives one answer.", hint="Leave out n.", param="n")
    return body


def count_tokens(text: str) -> int:
    """Words and marks."""
    return sum(1 for _ in _TOKEN.finditer(text))


def usage(body: Body, answer: str) -> dict[str, int]:
    """In OpenAI's words."""
    prompt = sum(count_tokens(text) for _, text in body.turns)
    completion = count_tokens(answer)
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


def completion(body: Body, answer: str, *, identity: str, created: int) -> bytes:
    """A whole answer."""
    message = {"role": "assistant", "content": answer}
    return msgspec.json.encode(
        {
            "id": identity,
            "object": "chat.completion",
            "created": created,
            "model": body.model,
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": usage(body, answer),
        }
    )


def chunks(body: Body, answer: str, *, identity: str, created: int) -> list[bytes]:
    """The same answer as server-sent events, word by word, ending in `[DONE]`."""

    def event(choices: list[dict[str, Any]], **more: object) -> bytes:
        head = {"id": identity, "object": "chat.completion.chunk", "created": created, "model": body.model}
        return b"data: " + msgspec.json.encode({**head, "choices": choices, **more}) + b"\n\n"

    def delta(fields: dict[str, str], finish: str | None = None) -> bytes:
        return event([{"index": 0, "delta": fields, "finish_reason": finish}])

    events = [delta({"role": "assistant", "content": ""})]
    events += [delta({"content": word}) for word in re.findall(r"\s*\S+", answer)]
    events.append(delta({}, "stop"))
    if body.wants_usage:
        events.append(event([], usage=usage(body, answer)))
    events.append(b"data: [DONE]\n\n")
    return events


def error_body(error: MooringError) -> bytes:
    """An error in OpenAI's shape."""
    kind = "invalid_request_error" if error.status < 500 else "server_error"
    return msgspec.json.encode(
        {"error": {"message": str(error), "type": kind, "param": error.param, "code": error.code}}
    )
