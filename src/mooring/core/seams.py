"""Functions that a lower room takes from a higher one; `wiring.py` passes them in."""

from collections.abc import Sequence
from typing import Protocol

import msgspec

from .messages import ChatRequest, ChatResponse


class Hit(msgspec.Struct, frozen=True, omit_defaults=True):
    """A passage found: where it stands (`[start, end)` in characters of its document), and each stage's raw score.

    `page` is counted from 1, where the document has pages.
    """

    chunk_id: str
    document_id: str
    path: str
    section: str
    start: int
    end: int
    text: str
    score: float
    scores: dict[str, float] = {}
    page: int | None = None


class Redactor(Protocol):
    """Takes secrets out of text before it reaches a sink (log, trace, audit, error body)."""

    def __call__(self, text: str, /) -> str: ...


class Complete(Protocol):
    """Asks a model on Mooring's own behalf (a judge, a rewriter); its calls are marked: guards do not recurse."""

    async def __call__(self, request: ChatRequest, /) -> ChatResponse: ...


class Embed(Protocol):
    """Vectors for texts, L2-normalised, in order."""

    async def __call__(self, texts: Sequence[str], /, *, model: str) -> Sequence[Sequence[float]]: ...


class Search(Protocol):
    """Hits of a collection of one project, best first."""

    async def __call__(self, project_id: str, collection: str, query: str, /, *, limit: int) -> Sequence[Hit]: ...
