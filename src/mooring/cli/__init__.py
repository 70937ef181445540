"""The command line: `cli.py` lists the verbs, one file per verb group holds them, loaded when they are called.

`console.py` turns errors into a line and one of the numbers of `exits.py`; `output.py` is how verbs print,
`progress.py` how long work shows that it goes on, `rooms.py` how they get at a home.
"""

from .console import main

__all__ = ["main"]
