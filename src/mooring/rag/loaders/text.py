"""Plain text: no structure but its paragraphs."""

from mooring.rag.contracts import Loaded, Loader, decode


def load(raw: bytes) -> Loaded:
    """The file's text."""
    return Loaded(decode(raw))


loader = Loader(suffixes=(".txt", ".text"), load=load, media_types=("text/plain",))
