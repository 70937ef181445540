"""Requests of any wire, by their address: who is asked for what, and how the answer of it is shaped."""

from typing import Literal

from . import cohere, responses
from .anthropic import ANTHROPIC, count_body, decode_messages
from .conversation import ChatBody, decode_chat
from .converse import check_authorized, converse_of, decode_converse
from .converse_answers import CONVERSE
from .dialect import OPENAI, Dialect
from .embeddings import decode_embeddings, embeddings_body, input_tokens
from .errors import BadRequest
from .gemini import GEMINI, Address, address_of, decode_count, decode_embed, decode_generate, embed_body
from .models import Marked
from .wire import HttpRequest

Operation = Literal["chat", "embed", "count"]
_PATHS: dict[str, Operation] = {
    "/v1/chat/completions": "chat",
    "/v1/messages": "chat",
    "/compatibility/v1/chat/completions": "chat",
    "/v1/embeddings": "embed",
    cohere.PATH: "embed",
    responses.PATH: "chat",
    "/v1/messages/count_tokens": "count",
}
_OPERATIONS: dict[str, Operation] = {
    "generateContent": "chat",
    "streamGenerateContent": "chat",
    "embedContent": "embed",
    "batchEmbedContents": "embed",
    "countTokens": "count",
}


def operation_of(path: str) -> Operation | None:
    """What a model is asked for at this path; None where it is no model's."""
    if converse_of(path) is not None:
        return "chat"
    address = address_of(path)
    return _PATHS.get(path) if address is None else _OPERATIONS.get(address.operation)


def dialect_of(path: str) -> Dialect:
    """The wire that is spoken at this path."""
    if path.startswith("/v1/messages"):
        return ANTHROPIC
    if path == responses.PATH:
        return responses.RESPONSES
    if converse_of(path) is not None:
        return CONVERSE
    return GEMINI if address_of(path) is not None else OPENAI


def given_key(request: HttpRequest) -> str:
    """The caller's key, wherever its vendor wants it."""
    headers = request.headers
    bearer = headers.get("authorization", "").removeprefix("Bearer ")
    return bearer or headers.get("x-api-key") or headers.get("x-goog-api-key") or ""


def read_chat(request: HttpRequest) -> tuple[ChatBody, Marked]:
    """The request, and what of it is marked for the cache.

    Raises:
        BadRequest: the wire's vendor would refuse it.
    """
    if request.path == responses.PATH:
        return responses.decode_responses(request.body), Marked()
    converse = converse_of(request.path)
    if converse is not None:
        check_authorized(request.headers)
        asked, marked = decode_converse(request.body, converse)
        return asked, Marked(marked)
    address = address_of(request.path)
    if address is not None:
        if address.operation == "streamGenerateContent" and "alt=sse" not in request.query:
            raise BadRequest("This double streams with alt=sse alone.")
        return decode_generate(request.body, address), Marked()
    if request.path == "/v1/messages":
        if "anthropic-version" not in request.headers:
            raise BadRequest("anthropic-version: header is required")
        return decode_messages(request.body)
    return decode_chat(request.body), Marked()


def read_embed(request: HttpRequest) -> tuple[str, int, bytes]:
    """Model, tokens and answer of a request for vectors.

    Raises:
        BadRequest: the wire's vendor would refuse it.
    """
    if request.path == cohere.PATH:
        wanted = cohere.decode_embed(request.body)
        tokens = input_tokens(wanted.texts)
        return wanted.model, tokens, cohere.embed_body(wanted, tokens)
    address = address_of(request.path)
    if address is None:
        asked, texts = decode_embeddings(request.body)
        return asked.model, input_tokens(texts), embeddings_body(asked, texts)
    found = decode_embed(request.body, address)
    return address.model, input_tokens([text for text, _ in found]), embed_body(found, address)


def read_count(request: HttpRequest) -> tuple[str, bytes]:
    """Model and answer of a request to count tokens.

    Raises:
        BadRequest: the wire's vendor would refuse it.
    """
    address: Address | None = address_of(request.path)
    if address is not None:
        return address.model, decode_count(request.body, address)
    chat, _ = decode_messages(request.body, is_count=True)
    return chat.model, count_body(chat)
