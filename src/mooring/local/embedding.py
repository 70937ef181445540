"""The local models' end of the OpenAI embeddings wire."""

import struct
from collections.abc import Sequence
from typing import Any, Literal

import msgspec

from mooring.core.errors import InvalidRequest, NotFound
from mooring.core.vectors import encode_vector

from .embedded import DIMENSIONS, Embedded

MODELS = ("minilm",)
MOST_INPUTS = 2048


class Body(msgspec.Struct):
    """The fields of a request that matter here."""

    model: str
    input: Any
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: int | None = None

    @property
    def texts(self) -> list[str]:
        return [self.input] if isinstance(self.input, str) else self.input


def decode(raw: bytes) -> Body:
    """The request.

    Raises:
        InvalidRequest: no embeddings request, or one that this model cannot answer.
        NotFound: an unknown model.
    """
    try:
        body = msgspec.json.decode(raw, type=Body)
    except (msgspec.DecodeError, RecursionError) as error:
        raise InvalidRequest(
            f"The body is no embeddings request: {error}.", hint="Send JSON with model and input."
        ) from error
    if body.model.removeprefix("local/") not in MODELS:
        raise NotFound(
            f"There is no local model '{body.model[:60]}' that embeds.",
            hint=f"Known: {', '.join(MODELS)}.",
            param="model",
        )
    if body.dimensions not in (None, DIMENSIONS):
        raise InvalidRequest(
            f"local/minilm has {DIMENSIONS} dimensions, and no fewer.",
            hint="Leave out dimensions.",
            param="dimensions",
        )
    _check_input(body.input)
    return body


def _check_input(given: object) -> None:
    inputs = given if isinstance(given, list) else [given]
    if any(isinstance(each, int | list) for each in inputs):
        raise InvalidRequest("local/minilm takes texts, not token ids.", hint="Send the texts.", param="input")
    if not all(isinstance(each, str) for each in inputs) or not inputs:
        raise InvalidRequest("'input' is neither a text nor texts.", hint="Send one, or a list.", param="input")
    if len(inputs) > MOST_INPUTS:
        raise InvalidRequest(
            f"{len(inputs):,} inputs are more than {MOST_INPUTS:,}.", hint="Send them in batches.", param="input"
        )


def answer(body: Body, found: Sequence[Embedded]) -> bytes:
    """The vectors, in the order of the inputs."""
    tokens = sum(each.tokens for each in found)
    data = [
        {"object": "embedding", "index": place, "embedding": _shown(body, each.vector)}
        for place, each in enumerate(found)
    ]
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return msgspec.json.encode({"object": "list", "data": data, "model": body.model, "usage": usage})


def _shown(body: Body, vector: bytes) -> str | list[float]:
    if body.encoding_format == "base64":
        return encode_vector(vector)
    return list(struct.unpack(f"<{DIMENSIONS}f", vector))
