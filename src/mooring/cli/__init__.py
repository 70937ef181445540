"""The command line: `cli.py` lists the verbs, one file per verb group holds them, loaded when they are called."""

from .cli import main

__all__ = ["main"]
