"""Which wire the double speaks at an address: how a request is read there, and how answers and errors are written."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import msgspec

from . import chat
from .chat import Completion, Frame
from .conversation import ChatBody


class Dialect(NamedTuple):
    """One wire, in the double's own words.

    `usage` is the field of the figures, `wrong_usage` what stands there when they contradict themselves, `done` what
    ends a stream. `other_event` writes the event of the figures anew, where it is no line of text; `has_usage_alone`:
    that event holds nothing else.
    """

    whole: Callable[[Completion], bytes]
    stream: Callable[[Completion, bool], Iterator[Frame]]
    error: Callable[..., bytes]
    usage: str
    wrong_usage: dict[str, Any]
    done: bytes
    empty: bytes
    event: Callable[[bytes], bytes]
    stream_type: str = "text/event-stream; charset=utf-8"
    other_event: Callable[[bytes, dict[str, Any] | None], bytes] | None = None
    has_usage_alone: bool = False

    def frames(self, completion: Completion, asked: ChatBody, *, is_paced: bool) -> Iterator[Frame]:
        """The answer, as it was asked for."""
        if asked.stream:
            return self.stream(completion, asked.stream_options is not None and asked.stream_options.include_usage)
        return completion.whole_frames(self.whole(completion), is_paced=is_paced)

    def other_usage(self, data: bytes, usage: dict[str, Any] | None, *, is_event: bool) -> bytes:
        """A body or an event with other figures, or (None) without any."""
        if is_event and self.other_event is not None:
            return self.other_event(data, usage)
        start, _, rest = data.rpartition(b"data: ") if is_event else (b"", b"", data)
        fields: dict[str, Any] = msgspec.json.decode(rest)
        fields.pop(self.usage, None)
        if usage is not None:
            fields[self.usage] = usage
        written = msgspec.json.encode(fields)
        end = rest[len(rest.rstrip()) :]
        return start + b"data: " + written + end if is_event else written


OPENAI = Dialect(
    whole=lambda completion: completion.body(),
    stream=lambda completion, has_usage: completion.stream_frames(has_usage=has_usage),
    error=chat.error_body,
    usage="usage",
    wrong_usage={
        "prompt_tokens": 1, "completion_tokens": -3, "total_tokens": 7, "prompt_tokens_details": {
            "cached_tokens": 999_999}},
    done=chat.DONE,
    empty=b'{"choices":[]}',
    event=lambda data: b"data: " + data + b"\n\n",
    has_usage_alone=True,
)  # fmt: skip
