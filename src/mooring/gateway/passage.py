"""A path of a provider's own API that is no wire of ours: its bytes pass through, with the account's key.

Nobody here knows what it does. So it is sent once (a GET may be sent again), its price is that of its path or the
policy for unknown prices decides, and the guards read whatever of it is text.
"""

import re
from collections.abc import Sequence
from typing import Any, ClassVar
from urllib.parse import quote

import msgspec

from mooring.core.errors import InvalidRequest, PermissionDenied
from mooring.core.messages import ChatRequest, ChatResponse
from mooring.core.usage import Usage

from . import multipart
from .codecs import Fields, Kind, WireRequest
from .codecs import registry as codecs
from .codecs._plain import LEAVES, PlainCodec, replaced, strings
from .inbound import Inbound
from .plan import Plan, Target
from .provider import OWN_KEYS, Vendor

BODY = "body"
READING = frozenset({"GET", "HEAD", "DELETE"})  # what no vendor sells
# Paths that are wires of ours, wherever a base address ends.
WIRES = {
    "/chat/completions": "openai_chat",
    "/embeddings": "openai_embeddings",
    "/responses": "openai_responses",
    "/messages": "anthropic_messages",
    "/messages/count_tokens": "anthropic_count_tokens",
    "/rerank": "cohere_rerank",
    "/moderations": "openai_moderations",
    "/images/generations": "openai_images",
    "/images/edits": "openai_image_edits",
    "/audio/transcriptions": "openai_transcriptions",
    "/audio/speech": "openai_speech",
}
_VERSION = re.compile(r"^/v\d[a-z0-9]*(?=/)")
_GEMINI = re.compile(r"^/models/([^/:]+):(generateContent|streamGenerateContent|embedContent|batchEmbedContents)$")
_GEMINI_WIRES = {"embedContent": "gemini_embed", "batchEmbedContents": "gemini_batch_embed"}
# Of the caller's head: what is about its connection to us, says who it is, or would say another address or account.
_STAYS = frozenset(
    (b"host content-length transfer-encoding connection keep-alive te trailer upgrade expect proxy-authorization"
     b" proxy-connection http2-settings authorization x-api-key x-goog-api-key api-key cookie origin referer"
     b" accept-encoding content-encoding forwarded x-real-ip via idempotency-key traceparent tracestate baggage"
     b" x-http-method x-http-method-override x-method-override x-original-url x-rewrite-url openai-organization"
     b" openai-project x-goog-user-project x-amz-security-token x-amz-date x-amz-content-sha256").split()
)  # fmt: skip
_STARTS = (b"x-mooring-", b"x-forwarded-", b"sec-", b"cf-")
_ESCAPED = re.compile(r"%(?:2e|2f|5c|25|0|1|7f)", re.IGNORECASE)
_ID = re.compile(r"(?=.*\d)[A-Za-z0-9_\-.]{10,}|[0-9]+")
_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.encode


class Passage(PlainCodec):
    """One request's own codec: where it goes, and its bytes as they are.

    Raises:
        PermissionDenied: the path is not among those that the operator has opened to every key.
        InvalidRequest: a path or a head that could mean something else to the provider than to us.
    """

    name: ClassVar[str] = "passthrough"
    path: ClassVar[str] = ""
    kind: ClassVar[Kind] = "passthrough"
    is_raw: ClassVar[bool] = True
    takes_any_status = True

    def __init__(self, inbound: Inbound, vendor: Vendor, path: str) -> None:
        path = checked_path(path)
        is_open = any(_is_below(path, root) for root in vendor.config.passthrough)
        if not (is_open or "admin" in inbound.caller.scopes):
            raise PermissionDenied(
                f"{path[:200]} of {vendor.name} is open to keys with the scope 'admin' alone.",
                hint=f"Name it under [gateway.providers.{vendor.name}] passthrough to open it to every key.",
            )
        if inbound.headers.get(b"content-encoding", b"identity").lower() != b"identity":
            raise InvalidRequest("A compressed body cannot be read by the checks.", hint="Send it as it is.")
        self.method = inbound.method
        self.address = vendor.address_of(path) + _query(inbound.query)
        self._inbound = inbound
        self._shown = "/".join(
            "*" if _ID.fullmatch(part) else part for part in _VERSION.sub("", path).strip("/").split("/")
        )
        target = Target(vendor, self._shown)
        self.plan = Plan(str(target), (target,), output_cap_tokens=1, is_once=inbound.method != "GET")

    def decode_request(self, body: bytes, *, model: str | None = None, is_stream: bool = False) -> WireRequest:
        extra = {LEAVES: self._leaves(body)}
        return WireRequest(ChatRequest(model=self.plan.model, messages=(), extra=extra), {BODY: body})

    def rewrite_request(self, fields: Fields, before: ChatRequest, after: ChatRequest) -> None:
        body, fresh = fields[BODY], after.extra[LEAVES]
        if multipart.is_multipart(self._inbound.headers):
            parts = iter(fresh)
            found = multipart.parse(body, self._inbound.header(b"content-type") or "")
            changed = [
                part if part.file_name is not None else part._replace(data=next(parts).encode()) for part in found
            ]
            fields[BODY] = _joined(changed, body)
        else:
            fields[BODY] = _with(body, fresh)

    def prepare(self, fields: Fields, *, model: str, is_stream: bool, cap_field: str | None, cap_tokens: int) -> None:
        """Nothing is put in."""

    def body_of(self, fields: Fields) -> bytes:
        body: bytes = fields[BODY]
        return body

    def sent_headers(self, given: Sequence[tuple[bytes, bytes]], body: bytes) -> list[tuple[bytes, bytes]]:
        """The caller's own, but for what stays here; the account's win."""
        headers = self._inbound.headers
        named = {name.strip().lower() for name in headers.get(b"connection", b"").split(b",")}
        ours = [(name, value) for name, value in given if name != b"content-type"]
        taken = {name for name, _ in ours}
        passed = [
            (name, value)
            for name, value in headers.items()
            if name not in _STAYS and name not in named and name not in taken and not name.startswith(_STARTS)
        ]
        return [*passed, *ours]

    def variant_of(self, request: ChatRequest) -> str:
        return "read" if self.method in READING else ""

    def decode_response(self, body: bytes) -> ChatResponse:
        """Whatever of it is text."""
        return ChatResponse(id="", model="", choices=(), extra={LEAVES: _leaves(body)})

    def rewrite_response(self, body: bytes, response: ChatResponse) -> bytes:
        return _with(body, response.extra[LEAVES])

    def metered_unsaid(self, request: ChatRequest) -> Usage | None:
        """It is sold by the request, or nobody knows how: then there is no price either."""
        return Usage()

    def _leaves(self, body: bytes) -> list[str]:
        if multipart.is_multipart(self._inbound.headers):
            found = multipart.parse(body, self._inbound.header(b"content-type") or "")
            return [part.text for part in found if part.file_name is None]
        return _leaves(body)


def known(inbound: Inbound, vendor: Vendor, path: str) -> tuple[Inbound, str] | None:
    """The request as one of our own wires, where the path is one that the provider speaks; None where it is not.

    Raises:
        InvalidRequest: a path or a body that cannot be read.
    """
    if inbound.method != "POST":
        return None
    bare = _VERSION.sub("", checked_path(path))
    asked = _GEMINI.match(bare)
    wire = _GEMINI_WIRES.get(asked[2], "gemini_generate") if asked else WIRES.get(bare)
    if wire is None:
        return None
    is_told = wire == "openai_responses" and vendor.wire == "openai_chat"  # by a translation, which has a price
    if not (is_told or vendor.speaks(codecs.get(wire)())):
        return None
    if asked:
        is_stream = asked[2] == "streamGenerateContent"
        return msgspec.structs.replace(inbound, model=f"{vendor.name}/{asked[1]}", is_stream=is_stream), wire
    return msgspec.structs.replace(inbound, body=_named(inbound, vendor.name)), wire


def _named(inbound: Inbound, provider: str) -> bytes:
    """The body with the provider before its model's name."""
    if multipart.is_multipart(inbound.headers):
        parts = multipart.parse(inbound.body, inbound.header(b"content-type") or "")
        named = [
            part._replace(data=f"{provider}/".encode() + part.data)
            if part.name == "model" and part.file_name is None
            else part
            for part in parts
        ]
        return multipart.encode(named)[0]
    try:
        fields = msgspec.json.decode(inbound.body, type=dict[str, msgspec.Raw])
        model: Any = _decode(fields["model"])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, KeyError):
        return inbound.body  # its wire says what is wrong with it
    fields["model"] = msgspec.Raw(_encode(f"{provider}/{model}"))
    return _encode(fields)


def checked_path(path: str) -> str:
    """The path, escaped again, if it is one and means the same to everybody who reads it.

    Raises:
        InvalidRequest: it climbs, is empty in the middle, or is escaped twice.
    """
    parts = path.strip("/").split("/")
    is_odd = "\\" in path or any(ord(letter) < 32 or ord(letter) == 127 for letter in path) or _ESCAPED.search(path)
    if is_odd or any(part in ("", ".", "..") or part.startswith("..;") for part in parts):
        raise InvalidRequest(f"The path '{path[:100]}' cannot be passed on.", hint="Write it plainly.", param="path")
    return "/" + "/".join(quote(part, safe="~!$&'()*+,=:@-._") for part in parts)


def _is_below(path: str, root: str) -> bool:
    root = root.rstrip("/")
    bare = _VERSION.sub("", path)
    return any(one == root or one.startswith(f"{root}/") for one in (path, bare))


def _query(query: bytes) -> str:
    """The query without keys of ours."""
    kept = [one for one in query.decode("latin-1").split("&") if not one.partition("=")[2].startswith(OWN_KEYS)]
    text = "&".join(kept)
    return f"?{text}" if text else ""


def _leaves(body: bytes) -> list[str]:
    """The strings of JSON, or the text as one; nothing of bytes that are neither."""
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return []
    try:
        return list(strings(_decode(body)))
    except (msgspec.DecodeError, RecursionError):
        return [text] if text else []


def _with(body: bytes, fresh: list[str]) -> bytes:
    try:
        value = _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return fresh[0].encode()
    return _encode(replaced(value, iter(fresh)))


def _joined(parts: list[multipart.Part], before: bytes) -> bytes:
    """The form with the boundary that its head names."""
    mark = before.partition(b"\r\n")[0]
    pieces = b"".join(mark + b"\r\n" + part.head + b"\r\n\r\n" + part.data + b"\r\n" for part in parts)
    return pieces + mark + b"--\r\n"
