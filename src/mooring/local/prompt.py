"""What the reader understands of a conversation: a question and numbered passages.

The last user message is either a JSON object `{"question": …, "passages": [{"number": 1, "text": …, "section": …,
"path": …}, …]}`, or plain text whose last line is the question and whose earlier lines, with the system messages, are
the one passage.
"""

from collections.abc import Sequence

import msgspec

from mooring.core.errors import InvalidRequest

from .reader import Passage


class Asked(msgspec.Struct, frozen=True):
    """A question and what it is to be answered from."""

    question: str
    passages: tuple[Passage, ...]


def parse(messages: Sequence[tuple[str, str]]) -> Asked:
    """Question and passages from (role, text) pairs.

    Raises:
        InvalidRequest: no user message, or nothing to answer from.
    """
    said = [text for role, text in messages if role == "user"]
    if not said:
        raise InvalidRequest("There is no user message.", hint="Add one with the question.", param="messages")
    asked = _from_json(said[-1]) or _from_text(said[-1], [text for role, text in messages if role in _INSTRUCTING])
    if not asked.passages:
        raise InvalidRequest(
            "local/reader answers from passages, and there are none.",
            hint="Put the text above the question in the user message, or ask a collection: mooring ask QUESTION.",
            param="messages",
        )
    return asked


_INSTRUCTING = ("system", "developer")


def _from_json(text: str) -> Asked | None:
    """The JSON form; None where it is another text."""
    if not text.lstrip().startswith("{"):
        return None
    try:
        return msgspec.json.decode(text, type=Asked)
    except msgspec.DecodeError:
        return None


def _from_text(text: str, instructions: Sequence[str]) -> Asked:
    """The last line is the question."""
    above, _, question = text.strip().rpartition("\n")
    passage = "\n\n".join(part.strip() for part in (*instructions, above) if part.strip())
    return Asked(question.strip(), (Passage(1, passage),) if passage else ())
