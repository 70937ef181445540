"""The rerank wire of Cohere, which vLLM, Jina and others speak too: `POST /v1/rerank` and `/v2/rerank`.

A search is a question with up to 100 documents; a long document counts as several. How many it were, the vendor says.
"""

from typing import Any, ClassVar

import msgspec

from mooring.core.errors import InvalidRequest, MooringError, UpstreamMalformed
from mooring.core.messages import ChatRequest, ChatResponse
from mooring.core.usage import Usage

from . import Fields, Kind
from ._plain import UNITS, PlainCodec, number, whole

MOST_DOCUMENTS = 10_000
DOCUMENTS_PER_SEARCH = 100
# Cohere splits what is longer than 500 tokens, question included; a token is a byte or more.
_LEAST_PART_BYTES = 256


class Codec(PlainCodec):
    """`POST /rerank`."""

    name: ClassVar[str] = "cohere_rerank"
    path: ClassVar[str] = "/rerank"
    kind: ClassVar[Kind] = "rerank"

    def facts(self, given: Fields) -> dict[str, Any]:
        documents, query = given.get("documents"), given.get("query")
        if not isinstance(query, str) or not query:
            raise InvalidRequest("'query' is missing.", hint="Send the question as text.", param="query")
        if not isinstance(documents, list) or not documents:
            raise InvalidRequest("'documents' is no list of documents.", hint="Send texts.", param="documents")
        if len(documents) > MOST_DOCUMENTS:
            raise InvalidRequest(
                f"{len(documents):,} documents are more than {MOST_DOCUMENTS:,}.", hint="Send fewer.", param="documents"
            )
        parts = sum(1 + size_of(document) // _LEAST_PART_BYTES for document in documents)
        top = whole(given, "top_n", len(documents), lambda number: number > 0)
        results = min(top, len(documents))
        return {UNITS: -(-parts // DOCUMENTS_PER_SEARCH), "results": results, "documents": len(documents)}

    def answered(self, value: Fields) -> dict[str, Any]:
        results = value.get("results")
        if not isinstance(results, list):
            raise UpstreamMalformed("The provider's answer has no results.", is_billable=True)
        return {"indexes": [one.get("index") if isinstance(one, dict) else None for one in results]}

    def check_answer(self, request: ChatRequest, response: ChatResponse) -> None:
        """Each document at most once, and as many as were asked for: fewer would be a shortened success."""
        found, asked = response.extra["indexes"], request.extra
        known = [one for one in found if type(one) is int and 0 <= one < asked["documents"]]
        if len(known) != len(found) or len(set(known)) != len(found) or len(found) != asked["results"]:
            raise UpstreamMalformed(
                f"The provider ranked {len(set(known))} documents where {asked['results']} were asked for.",
                is_billable=True,
            )

    def metered(self, value: Fields) -> Usage | None:
        meta = value.get("meta")
        billed = meta.get("billed_units") if isinstance(meta, dict) else None
        units, tokens = number(billed, "search_units"), number(value.get("usage"), "total_tokens")
        return Usage(input_tokens=tokens, units=units) if units or tokens else None

    def encode_error(self, error: MooringError, *, message: str | None = None, code: str | None = None) -> bytes:
        return msgspec.json.encode({"message": message or str(error), "code": code or error.code})


def size_of(document: Any) -> int:
    """A document's bytes."""
    return len(document.encode()) if isinstance(document, str) else len(msgspec.json.encode(document))
