"""Errors of AWS's JSON protocol: the exception's name is in a header, its words in the body."""

from typing import Any

import msgspec

from mooring.core.errors import MooringError

from .. import Failure, FailureKind, ReadsHeaders
from ..openai_chat.errors import decode_error as decode_described

_encode = msgspec.json.encode
_decode_any = msgspec.json.Decoder().decode
_KINDS: dict[str, FailureKind] = {
    "ThrottlingException": "rate_limited",
    "ServiceQuotaExceededException": "rate_limited",  # 400, but another account or another minute will do
    "ModelNotReadyException": "overloaded",  # 429: it is being loaded, and nobody asked for less
    "ServiceUnavailableException": "overloaded",
    "ModelTimeoutException": "broken",
    "ModelErrorException": "broken",  # 424
    "ModelStreamErrorException": "broken",
    "InternalServerException": "broken",
    "AccessDeniedException": "not_authorised",
    "ExpiredTokenException": "not_authorised",
    "InvalidSignatureException": "not_authorised",
    "UnrecognizedClientException": "not_authorised",
    "ResourceNotFoundException": "no_such_model",
}
_NAMES = {
    400: "validationException",
    401: "accessDeniedException",
    403: "accessDeniedException",
    404: "resourceNotFoundException",
    408: "modelTimeoutException",
    429: "throttlingException",
    503: "serviceUnavailableException",
}


def decode_error(status: int, headers: ReadsHeaders, body: bytes) -> Failure:
    """What the error means for the next step."""
    failure = decode_described(status, headers, _lowered(body))
    name = (headers.get("x-amzn-errortype") or "").partition(":")[0].rpartition("#")[2]
    kind = _KINDS.get(name)
    if kind is None or failure.kind in ("context_length", "out_of_money"):
        return failure if not name else msgspec.structs.replace(failure, code=name)
    return msgspec.structs.replace(failure, kind=kind, code=name)


def _lowered(body: bytes) -> bytes:
    """Some of AWS's front doors write `Message`."""
    try:
        decoded: Any = _decode_any(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return body
    if not isinstance(decoded, dict) or "Message" not in decoded:
        return body
    return _encode({"message": decoded["Message"]})


def name_of(status: int) -> str:
    """The exception that a stream breaks off with."""
    return _NAMES.get(status) or ("validationException" if status < 500 else "internalServerException")


def encode_error(error: MooringError, *, message: str | None = None) -> bytes:
    """Our error in this wire's shape."""
    return _encode({"message": message or str(error)})
