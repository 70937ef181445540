"""Cohere's wire of embeddings, as this double reads and writes it: strict, as there."""

from typing import Annotated, Literal

import msgspec

from .embeddings import vector
from .errors import BadRequest

PATH = "/v2/embed"


class EmbedBody(msgspec.Struct, forbid_unknown_fields=True):
    """The body of `POST /v2/embed`."""

    model: str
    texts: Annotated[list[str], msgspec.Meta(min_length=1, max_length=96)]
    input_type: Literal["search_document", "search_query", "classification", "clustering"]
    embedding_types: list[Literal["float"]]
    output_dimension: Annotated[int, msgspec.Meta(ge=1, le=4096)] = 64
    truncate: Literal["NONE", "START", "END"] = "END"


_decoder = msgspec.json.Decoder(EmbedBody)


def decode_embed(body: bytes) -> EmbedBody:
    """The request in a body.

    Raises:
        BadRequest: no JSON, a wrong type or an unknown field.
    """
    try:
        return _decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadRequest(f"invalid request: {error}") from error


def embed_body(asked: EmbedBody, tokens: int) -> bytes:
    """The vectors, and what they are billed."""
    found = [vector(text, asked.output_dimension) for text in asked.texts]
    meta = {"api_version": {"version": "2"}, "billed_units": {"input_tokens": tokens}}
    return msgspec.json.encode(
        {
            "id": "e_1",
            "embeddings": {"float": found},
            "texts": asked.texts,
            "meta": meta,
            "response_type": "embeddings_by_type",
        }
    )
