"""The words by which a call can be found: what its request said newly, and what was answered, on any wire.

Text is taken by its place in the JSON, not by the wire: strings under the names that all wires give to text. Pieces of
a stream are put together before they are cut into words.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from mooring.core.words import WORD

MOST_BYTES = 262_144  # of a body that is looked through; an attached file is no conversation
MOST_WORDS = 2_000
MOST_CHARACTERS = 40  # a longer word is a blob in disguise
TEXT = frozenset({"content", "text", "arguments", "partial_json", "thinking", "refusal", "input", "query", "output"})
SKIPPED = frozenset({"embedding", "data", "url", "image_url", "b64_json", "file_data", "signature", "annotations"})
_decode = msgspec.json.decode


def of_request(body: bytes) -> str:
    """What a whole body says."""
    value = _read(body)
    return " ".join(_texts(value, is_text=not isinstance(value, dict)))


def of_elements(elements: Iterable[bytes]) -> str:
    """What the last messages say that stand behind the last answer of the model: the others were said before."""
    new: list[str] = []
    for element in elements:
        value = _read(element)
        if isinstance(value, dict) and value.get("role") in ("assistant", "model"):
            new.clear()
        else:
            new.extend(_texts(value))
    return " ".join(new)


def of_answer(body: bytes, content_type: str | None) -> str:
    """What was answered; of a stream, its pieces joined."""
    if len(body) > MOST_BYTES:
        return ""
    if content_type is not None and "event-stream" in content_type:
        lines = (line[5:] for line in body.split(b"\n") if line.startswith(b"data:"))
        return "".join(text for line in lines for text in _texts(_read(line)))
    value = _read(body)
    return " ".join(_texts(value, is_text=not isinstance(value, dict)))


def words(text: str) -> list[str]:
    """The distinct words of a text, lower-case, in the order in which they come."""
    found: dict[str, None] = {}
    for word in WORD.findall(text.lower()):
        if len(word) <= MOST_CHARACTERS:
            found[word] = None
            if len(found) >= MOST_WORDS:
                break
    return list(found)


def _read(data: bytes) -> Any:
    if not data or len(data) > MOST_BYTES:
        return None
    try:
        return _decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def _texts(value: Any, *, is_text: bool = False) -> Iterator[str]:
    """Strings under a name of text, however deep."""
    if isinstance(value, str):
        if is_text:
            yield value
    elif isinstance(value, list):
        for one in value:
            yield from _texts(one, is_text=is_text)
    elif isinstance(value, dict):
        for name, one in value.items():
            if name not in SKIPPED:
                yield from _texts(one, is_text=name in TEXT or (is_text and isinstance(one, dict)))
