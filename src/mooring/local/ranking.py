"""The local models' end of Cohere's rerank wire: a document is as near as its nearest sentence.

It is the reranker that documents are ranked with, for everybody's texts. The score is a cosine, cut at 0.
"""

from typing import Any

import msgspec
import numpy as np

from mooring.core.errors import InvalidRequest, NotFound

from .minilm import MiniLM
from .sentence import sentence_spans

MODELS = ("minilm",)
MOST_DOCUMENTS = 1_000
MOST_SENTENCES = 24


class Body(msgspec.Struct):
    """The fields of a request that matter here."""

    model: str
    query: str
    documents: list[Any]
    top_n: int | None = None
    return_documents: bool = False


def decode(raw: bytes) -> tuple[Body, list[str]]:
    """The request, and its documents as texts.

    Raises:
        InvalidRequest: no rerank request, or one that this model cannot answer.
        NotFound: an unknown model.
    """
    try:
        body = msgspec.json.decode(raw, type=Body)
    except (msgspec.DecodeError, RecursionError) as error:
        raise InvalidRequest(
            f"The body is no rerank request: {error}.", hint="Send JSON with model, query and documents."
        ) from error
    if body.model.removeprefix("local/") not in MODELS:
        raise NotFound(
            f"There is no local model '{body.model[:60]}' that ranks.",
            hint=f"Known: {', '.join(MODELS)}.",
            param="model",
        )
    given = [one.get("text") if isinstance(one, dict) else one for one in body.documents]
    texts = [text for text in given if isinstance(text, str)]
    if not 0 < len(given) <= MOST_DOCUMENTS or len(texts) != len(given):
        raise InvalidRequest(
            f"'documents' is a list of 1 to {MOST_DOCUMENTS:,} texts.", hint="Send fewer, as text.", param="documents"
        )
    return body, texts


async def answer(body: Body, texts: list[str], model: MiniLM) -> bytes:
    """The documents by their nearness, the nearest first."""
    pieces = [[text, *_sentences(text)] for text in texts]
    found = await model.embed_all([body.query, *(piece for group in pieces for piece in group)])
    vectors = [np.frombuffer(one.vector, dtype="<f4") for one in found]
    query, at = vectors[0], 1
    scores: list[float] = []
    for group in pieces:
        scores.append(max(0.0, *(float(vector @ query) for vector in vectors[at : at + len(group)])))
        at += len(group)
    order = sorted(range(len(texts)), key=lambda place: (-scores[place], place))[: body.top_n or len(texts)]
    results = [_result(body, place, scores[place], texts[place]) for place in order]
    tokens = sum(one.tokens for one in found)
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return msgspec.json.encode({"id": "rerank", "model": body.model, "results": results, "usage": usage})


def _sentences(text: str) -> list[str]:
    spans = sentence_spans(text)[:MOST_SENTENCES]
    found = [text[start:end] for start, end in spans]
    return [one for one in found if one.strip() and one != text]


def _result(body: Body, place: int, score: float, text: str) -> dict[str, Any]:
    told: dict[str, Any] = {"index": place, "relevance_score": round(score, 6)}
    return {**told, "document": {"text": text}} if body.return_documents else told
