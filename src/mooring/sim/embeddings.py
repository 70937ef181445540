"""The wire of OpenAI's embeddings: bags of hashed words, so that texts with words in common are near each other."""

import base64
import math
import re
import struct
import zlib
from typing import Annotated, Any, Literal

import msgspec

from .errors import BadRequest
from .models import tokens

_WORD = re.compile(r"\w+")
_MOST_INPUTS = 2048


class EmbeddingsBody(msgspec.Struct):
    """The body of `POST /v1/embeddings`."""

    model: str
    input: Any  # a text, texts, token ids, or lists of them: msgspec does not tell three kinds of list apart
    dimensions: Annotated[int, msgspec.Meta(ge=1, le=4096)] = 64
    encoding_format: Literal["float", "base64"] | None = None


_decoder = msgspec.json.Decoder(EmbeddingsBody)


def decode_embeddings(body: bytes) -> tuple[EmbeddingsBody, list[str]]:
    """The request, and its inputs as texts (token ids become their numbers).

    Raises:
        BadRequest: no JSON, a wrong type, an empty input.
    """
    try:
        request = _decoder.decode(body)
    except msgspec.ValidationError as error:
        raise BadRequest(str(error)) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadRequest(f"We could not parse the JSON body of your request: {error}") from error
    texts = _texts(request.input)
    if not texts or not all(texts) or len(texts) > _MOST_INPUTS:
        raise BadRequest(f"'input' must be one to {_MOST_INPUTS} texts or token lists, none of them empty.", "input")
    return request, texts


def _texts(given: object) -> list[str]:
    if isinstance(given, str):
        return [given]
    if not isinstance(given, list):
        return []
    if given and all(isinstance(item, int) for item in given):
        return [" ".join(map(str, given))]
    if all(isinstance(item, str) for item in given):
        return given
    if all(isinstance(item, list) and all(isinstance(number, int) for number in item) for item in given):
        return [" ".join(map(str, item)) for item in given]
    return []


def vector(text: str, dimensions: int) -> list[float]:
    """A unit vector: each word adds to two places, by its hash."""
    values = [0.0] * dimensions
    for word in _WORD.findall(text.lower()) or [text]:
        mark = zlib.crc32(word.encode("utf-8", "replace"))
        values[mark % dimensions] += 1.0
        values[(mark >> 12) % dimensions] += 0.5 if mark >> 31 else -0.5
    length = math.sqrt(sum(value * value for value in values))
    if length == 0:
        values[0], length = 1.0, 1.0
    return [value / length for value in values]


def embeddings_body(request: EmbeddingsBody, texts: list[str]) -> bytes:
    """The answer."""
    data = []
    for index, text in enumerate(texts):
        values: list[float] | str = vector(text, request.dimensions)
        if request.encoding_format == "base64":
            values = base64.b64encode(struct.pack(f"<{request.dimensions}f", *values)).decode()
        data.append({"object": "embedding", "index": index, "embedding": values})
    count = input_tokens(texts)
    usage = {"prompt_tokens": count, "total_tokens": count}
    return msgspec.json.encode({"object": "list", "data": data, "model": request.model, "usage": usage})


def input_tokens(texts: list[str]) -> int:
    """What the texts weigh, each rounded up."""
    return sum(tokens(text) for text in texts)
