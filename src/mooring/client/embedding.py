"""Embeddings on OpenAI's wire: batches of texts out, vectors in."""

from collections.abc import Iterator, Sequence
from typing import Any

from mooring.core.errors import UpstreamMalformed
from mooring.core.money import nanos
from mooring.core.usage import Usage
from mooring.core.vectors import decode_vector

from .results import Embeddings
from .transport import Reply

BATCH_TEXTS = 256


def bodies(texts: Sequence[str], model: str, dimensions: int | None) -> Iterator[dict[str, Any]]:
    """One request per batch; base64 is a third of the bytes, and exact."""
    for first in range(0, len(texts), BATCH_TEXTS):
        body: dict[str, Any] = {"model": model, "input": list(texts[first : first + BATCH_TEXTS])}
        body["encoding_format"] = "base64"
        if dimensions is not None:
            body["dimensions"] = dimensions
        yield body


def part_of(reply: Reply, expected: int) -> Embeddings:
    """One batch's answer.

    Raises:
        UpstreamMalformed: it is no answer to so many texts.
    """
    try:
        found = [decode_vector(each["embedding"]).tolist() for each in reply.data["data"]]
        tokens = int((reply.data.get("usage") or {}).get("prompt_tokens") or 0)
        model = str(reply.data.get("model") or "")
    except (KeyError, TypeError, AttributeError) as error:
        raise UpstreamMalformed("The server's answer holds no embeddings.", is_billable=True) from error
    if len(found) != expected:
        raise UpstreamMalformed(f"{expected} texts got {len(found)} embeddings.", is_billable=True)
    return Embeddings(
        vectors=tuple(found),
        model=model,
        usage=Usage(input_tokens=tokens),
        call_ids=(reply.call_id,) if reply.call_id else (),
        cost_nanos=None if reply.cost_usd is None else nanos(reply.cost_usd),
        is_replayed=reply.is_replayed,
    )


def joined(parts: Sequence[Embeddings]) -> Embeddings:
    """The batches as one; the cost is known if each one's is."""
    costs = [part.cost_nanos for part in parts]
    known = [cost for cost in costs if cost is not None]
    return Embeddings(
        vectors=tuple(vector for part in parts for vector in part.vectors),
        model=parts[-1].model if parts else "",
        usage=Usage(input_tokens=sum(part.usage.input_tokens for part in parts)),
        call_ids=tuple(call_id for part in parts for call_id in part.call_ids),
        cost_nanos=sum(known) if len(known) == len(costs) else None,
        is_replayed=bool(parts) and all(part.is_replayed for part in parts),
    )
