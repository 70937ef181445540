"""The OpenAI chat codec: what a vendor's errors mean, and what ours look like."""

import msgspec
import pytest
from tests.gateway.test_openai_chat import Headers, codec

from mooring.core.errors import BudgetExceeded


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (400, b'{"error":{"message":"bad schema","code":"invalid_schema","param":"tools"}}', "invalid"),
        (422, b'{"detail":[{"loc":["body"],"msg":"field required"}]}', "invalid"),
        (429, b'[{"error":{"code":429,"message":"Quota exceeded","status":"RESOURCE_EXHAUSTED"}}]', "rate_limited"),
        (
            400,
            b'{"error":{"message":"maximum context length is 8192","code":"context_length_exceeded"}}',
            "context_length",
        ),
        (
            400,
            b'{"error":{"message":"The input token count (1200000) exceeds the maximum number of tokens allowed."}}',
            "context_length",
        ),
        (400, b'{"error":{"message":"Your credit balance is too low"}}', "out_of_money"),
        (429, b'{"error":{"message":"quota","code":"insufficient_quota"}}', "out_of_money"),
        (402, b"Payment Required", "out_of_money"),
        (429, b'{"error":{"message":"slow down"}}', "rate_limited"),
        (401, b'{"error":{"message":"bad key"}}', "not_authorised"),
        (404, b'{"error":{"message":"no such model"}}', "no_such_model"),
        (503, b"<html><body>Service Unavailable</body></html>", "overloaded"),
        (529, b"{}", "overloaded"),
        (500, b'{"error":"boom"}', "broken"),
        (200, b'{"error":{"message":"boom"}}', "broken"),
        (302, b"", "broken"),
    ],
)
def test_errors_are_classified_by_what_they_say(status: int, body: bytes, kind: str) -> None:
    failure = codec.decode_error(status, Headers(), body)
    assert failure.kind == kind
    assert failure.message


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [({"retry-after": "7"}, 7.0), ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5), ({}, None),
     ({"retry-after": "soon"}, None), ({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0.0)],
)  # fmt: skip
def test_retry_after_is_read_in_all_its_forms(headers: dict[str, str], seconds: float | None) -> None:
    assert codec.decode_error(429, Headers(headers), b"").retry_after_seconds == seconds


def test_our_errors_have_openais_shape() -> None:
    error = BudgetExceeded("Too dear.", hint="Raise it.", param="model")
    assert msgspec.json.decode(codec.encode_error(error)) == {
        "error": {
            "message": "Too dear. Raise it.",
            "type": "invalid_request_error",
            "param": "model",
            "code": "budget_exceeded",
        }
    }
    assert codec.encode_stream_error(error).startswith(b"data: {")


def test_an_error_in_a_list_is_read_like_one_without() -> None:
    failure = codec.decode_error(400, Headers(), b'[{"error":{"code":400,"message":"API key not valid."}}]')
    assert (failure.message, failure.code) == ("API key not valid.", "400")
