"""The ways in which a provider fails, as data: what is ordered of the double, and what a caller must get all the same.

Every case runs streamed and not, with a healthy target behind the broken one. `whole`: the caller gets the answer.
`shown`: tokens have gone out that no other target can continue, so the stream ends with an error event; or the request
itself is at fault. Answers are paced, so that tokens have gone out by then.
"""

from typing import Any, Literal, NamedTuple

Expected = Literal["whole", "shown"]


class Case(NamedTuple):
    """One way to fail. `provider` is the broken one; `streamed` and `unstreamed` are what must come of it.

    `message` and `code` are the error's: each wire says them in its own shape.
    """

    name: str
    fault: dict[str, Any] | None = None
    provider: str = "broken"
    streamed: Expected = "whole"
    unstreamed: Expected = "whole"
    message: str = ""
    code: str = ""


def _status(name: str, status: int, *, code: str = "", message: str = "", **more: Any) -> Case:
    return Case(name, {"kind": "status", "status": status, **more}, message=message, code=code)


def _cut(name: str, kind: str, **more: Any) -> list[Case]:
    """Broken before the first token, where another target takes over, and after it, where the caller is told."""
    return [
        Case(f"{name}, before the first token", {"kind": kind, "after_events": 0, **more}),
        Case(f"{name}, after some tokens", {"kind": kind, "after_events": 3, **more}, streamed="shown"),
    ]


def _any(name: str, kind: str, **more: Any) -> Case:
    return Case(name, {"kind": kind, **more})


CASES: tuple[Case, ...] = (
    # it says that it cannot
    _status("429, a sane Retry-After", 429, retry_after="1"),
    _status("429, no Retry-After", 429),
    _status("429, an absurd Retry-After", 429, retry_after="86400000"),
    _status("429, a negative Retry-After", 429, retry_after="-5"),
    _status("429, a Retry-After that is no number", 429, retry_after="soon"),
    _status("429, a Retry-After in the year 9999", 429, retry_after="Fri, 31 Dec 9999 23:59:59 GMT"),
    _status("429, out of money", 429, code="insufficient_quota", message="You exceeded your current quota"),
    _status("400, out of money", 400, message="Your credit balance is too low"),
    _status("402, out of money", 402, message="Payment required"),
    _status("403, out of money", 403, message="Insufficient balance"),
    _status("400, the context is too long", 400, code="context_length_exceeded", message="maximum context length"),
    _status("401", 401, code="invalid_api_key", message="Incorrect API key"),
    _status("403", 403, message="Forbidden"),
    _status("404, no such model", 404, code="model_not_found", message="The model does not exist"),
    _status("408", 408),
    _status("500", 500),
    _status("502 with a proxy's page", 502, body="<html><h1>Bad gateway</h1></html>", content_type="text/html"),
    _status("503", 503),
    _status("504", 504),
    _status("529, overloaded", 529),
    # there is no conversation
    Case("refused", provider="refused"),
    Case("unknown host", provider="unknown_host"),
    Case("TLS fails", provider="tls"),
    _any("reset before the head", "reset_before_headers"),
    _any("closed before the head", "close_before_headers"),
    _any("reset after the head", "reset_after_headers"),
    _any("silence before the head", "stall_first_byte"),
    _any("a head of one byte a second", "drip_head", pace_ms=1000),
    _any("a head without end", "flood_headers"),
    _any("bytes that are no HTTP", "garbage_http"),
    # it breaks off
    *_cut("reset in mid-chunk", "reset_mid_chunk"),
    *_cut("closed in mid-chunk", "close_mid_chunk"),
    *_cut("closed between chunks", "close_mid_stream"),
    *_cut("a clean end too early", "early_end"),
    *_cut("a chunk that is none", "bad_chunk"),
    *_cut("silence in the middle", "stall_mid_stream"),
    *_cut("a good end too early", "early_done"),
    *_cut("an error event", "error_event"),
    *_cut("malformed events", "malformed_sse"),
    *_cut("truncated JSON", "truncated_json"),
    Case("a body of one byte a second", {"kind": "drip", "pace_ms": 1000}),
    Case("bytes slower than the deadline", {"kind": "drip", "pace_ms": 1}, streamed="shown"),
    _any("the end is missing", "no_done"),
    # it says something else
    _any("a page with status 200", "html"),
    _any("an error object with status 200", "error_200"),
    _any("garbage", "garbage"),
    _any("an empty stream", "empty_stream"),
    _any("an event without end", "flood", size_bytes=20 << 20),
    _any("compressed unasked", "gzip"),
    # odd, and whole
    _any("the wrong content type", "wrong_content_type"),
    _any("one byte at a time", "one_byte"),
    _any("characters cut in two", "split_utf8"),
    _any("lines that end in CRLF", "crlf"),
    _any("comments and named events", "comments"),
    _any("slow, within the deadlines", "slow", pace_ms=10),
    _any("an early hint", "informational"),
    _any("closed after the answer", "close_after"),
    _any("an answer that the connection ends", "close_delimited"),
    _any("no usage", "no_usage"),
    _any("a usage that contradicts itself", "wrong_usage"),
    # the caller's own mistake: nobody else is asked
    _status("400, a schema that is wrong", 400, code="invalid_schema", message="Invalid schema")._replace(
        streamed="shown", unstreamed="shown"
    ),
)
