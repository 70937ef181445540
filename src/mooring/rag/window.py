"""What is embedded of a passage: the whole of it where it is short, else each stretch of it by itself.

An embedding model reads the beginning of a text (local/minilm 256 tokens) and gives one vector, an average. A long
passage is as near to a question as its nearest window; the mean of the windows finds less than the first one alone.
"""

from .contracts import BYTES_PER_TOKEN, Loaded, splitters

WINDOW_TOKENS = 200  # the default [rag] passage_tokens, which therefore gets one vector; below what local/minilm reads
MOST_WINDOWS = 8  # of one passage: 1,600 tokens; more found nothing more on any collection measured


def windows_of(section: str, text: str) -> tuple[str, ...]:
    """The texts that stand for a passage, in its order: each the headings above it, then its words."""
    if len(text.encode("utf-8", "surrogatepass")) <= WINDOW_TOKENS * BYTES_PER_TOKEN:
        return (embedding_input(section, text),)
    pieces = splitters.get("structure")(Loaded(text), budget_tokens=WINDOW_TOKENS)[:MOST_WINDOWS]
    return tuple(embedding_input(section, text[each.start : each.end]) for each in pieces) or (text,)


def embedding_input(section: str, text: str) -> str:
    """The headings above, then the words."""
    return f"{section}\n{text}" if section and not text.startswith(section) else text
