"""The built-in models: they run offline, cost nothing and say what they are.

Read `reader.py` first (the extractive reader, a pure function), then `prompt.py` (how it is asked); `minilm.py` (the
embeddings), which `shelf.py` loads, from `weights.py`, `transformer.py` over `graph.py`, and `wordpiece.py`; `wire.py`,
`embedding.py` and `server.py` (the OpenAI wire on loopback); `serve.py` is the process: `python -m mooring.local`.
May import `core`, `net` and a web framework.
"""

from .reader import Passage, Reading, read

__all__ = ["Passage", "Reading", "read"]
