"""The built-in models: they run offline, cost nothing and say what they are.

Read `reader.py` first (the extractive reader, a pure function), then `prompt.py` (how it is asked), `wire.py` and
`server.py` (the OpenAI wire on loopback); `serve.py` is the process. `python -m mooring.local` starts it.
May import `core` and a web framework.
"""

from .reader import Passage, Reading, read
from .server import create_app

__all__ = ["Passage", "Reading", "create_app", "read"]
